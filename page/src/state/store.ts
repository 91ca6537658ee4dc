// A value whose fields change, and who wants to know when they do.

export class Store<S extends object> {
  private readonly listeners: { keys: ReadonlySet<keyof S>; run: () => void }[] = [];
  constructor(private state: S) {}

  get now(): Readonly<S> {
    return this.state;
  }

  /** Sets some fields, then tells those who watch a field that is another one now. */
  set(changes: Partial<S>): void {
    const before = this.state;
    this.state = { ...before, ...changes };
    const changed = (Object.keys(changes) as (keyof S)[]).filter((key) => before[key] !== this.state[key]);
    for (const { keys, run } of [...this.listeners]) if (changed.some((key) => keys.has(key))) run();
  }

  /** Runs now, and after every change of one of these fields. */
  watch(keys: (keyof S)[], run: () => void): void {
    this.listeners.push({ keys: new Set(keys), run });
    run();
  }
}
