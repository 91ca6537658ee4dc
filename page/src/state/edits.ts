const MOST_STEPS = 50;

interface Step {
  labels: Uint8Array;
  start: Uint8Array;
}

/** Earlier label maps of an edit, and the one that it began with. */
export class EditHistory {
  private steps: Step[] = [];
  private start: Uint8Array | null = null;

  get length(): number {
    return this.steps.length;
  }

  /** Starts from a label map; before: what was edited until now, if anything. */
  begin(labels: Uint8Array, before: Uint8Array | null): void {
    if (before) this.remember(before);
    this.start = labels;
  }

  remember(labels: Uint8Array): void {
    this.steps.push({ labels, start: this.start ?? labels });
    if (this.steps.length > MOST_STEPS) this.steps.shift();
  }

  /** The label map before the last step, or the one given where there is none. */
  undo(labels: Uint8Array): Uint8Array {
    const step = this.steps.pop();
    if (!step) return labels;
    this.start = step.start;
    return step.labels;
  }

  /** The label map that editing began with, or the one given where it never did. Going back is a step too. */
  toStart(labels: Uint8Array): Uint8Array {
    if (!this.start || this.start === labels) return labels;
    this.remember(labels);
    return this.start;
  }
}
