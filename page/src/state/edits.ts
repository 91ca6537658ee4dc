const MOST_STEPS = 50;

/** Earlier label maps of an edit. */
export class EditHistory {
  private steps: Uint8Array[] = [];

  clear(): void {
    this.steps = [];
  }

  remember(labels: Uint8Array): void {
    this.steps.push(labels);
    if (this.steps.length > MOST_STEPS) this.steps.shift();
  }

  /** The label map before the last step, or the one given where there is none. */
  undo(labels: Uint8Array): Uint8Array {
    return this.steps.pop() ?? labels;
  }
}
