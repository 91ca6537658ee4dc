// What the reader of the page has done, and what may be done.
import { findings, matching, type Condition, type Findings } from "../data/findings";
import { filled } from "../data/filling";
import type { ClassFacts, Drawing, Study } from "../data/study";
import { EditHistory } from "./edits";
import { Store } from "./store";

export type Tool = "look" | "include" | "exclude" | "draw" | "add" | "erase";
export type Layer = "modes" | "extent" | "explored" | "compared" | "edited";
export type Heat = "none" | "mean" | "entropy";

export interface State {
  found: Findings;
  conditions: readonly Condition[];
  layers: ReadonlySet<Layer>;
  hiddenModes: ReadonlySet<number>;
  focus: Layer | null; // while it is being changed, all other lines are faint
  tool: Tool;
  brush: number; // diameter in pixels
  window: readonly [number, number];
  heat: Heat;
  position: readonly [number, number] | null; // on the pad
  explored: Drawing | null; // the outline that the reader looks at: of the pad, or a hypothesis
  compared: Drawing | null;
  edited: Uint8Array | null; // label map
  undoable: number; // steps of editing that can be taken back
  probed: number | null; // the pixel that the reader asks about
  said: string; // the last thing to be announced
  where: string | null; // the id of the section that says more of it
}

export class Session {
  readonly store: Store<State>;
  private readonly edits = new EditHistory();

  constructor(readonly study: Study) {
    const { annotations, classes, facts } = study;
    const first = classes.at(0);
    if (!first) throw new Error("alternatives: got none, expected one entry for each class but 0");
    const every = matching(classes, facts.hypotheses.n, study.width, []);
    this.store = new Store<State>({
      found: findings(first, every),
      conditions: [],
      layers: new Set<Layer>(["modes", "compared"]),
      hiddenModes: new Set(),
      focus: null,
      tool: "look",
      brush: Math.max(2, Math.round(Math.max(study.height, study.width) / 40)),
      window: facts.image.window,
      heat: "none",
      position: null,
      explored: null,
      compared: annotations.at(0) ?? null, // what somebody gave is shown at once
      edited: null,
      undoable: 0,
      probed: null,
      said: "",
      where: null,
    });
  }

  get now(): Readonly<State> {
    return this.store.now;
  }

  get label(): number {
    return this.now.found.of.label;
  }

  say(sentence: string, where: string | null = null): void {
    this.store.set({ said: sentence.trim(), where });
  }

  /** Takes a tool; what was said of the one before is no longer said. */
  use(tool: Tool): void {
    this.store.set({ tool });
    this.say("");
  }

  choose(one: ClassFacts): void {
    this.store.set({ found: findings(one, this.now.found.kept), hiddenModes: new Set() });
    this.say(`Now about ${one.name}.`);
  }

  toggle(layer: Layer, shown: boolean): void {
    const layers = new Set(this.now.layers);
    if (shown) layers.add(layer);
    else layers.delete(layer);
    this.store.set({ layers });
  }

  /** Keeps only hypotheses in which the pixel is, or is not, of the class. False, with a word, if none would be left. */
  require(row: number, column: number, inside: boolean, label = this.label): boolean {
    const others = this.now.conditions.filter((one) => one.row !== row || one.column !== column || one.label !== label);
    const kept = this.keep([...others, { row, column, label, inside }]);
    if (!kept)
      this.say(
        `None of the remaining outlines has row ${row}, column ${column} ${inside ? "inside" : "outside"}; nothing was changed.`,
      );
    return kept;
  }

  /** Asks about a pixel. */
  probe(pixel: number): void {
    this.store.set({ probed: pixel });
    this.say("");
  }

  /** Takes back one condition, the last one if none is named. */
  forget(condition = this.now.conditions.at(-1)): void {
    this.keep(this.now.conditions.filter((one) => one !== condition));
  }

  forgetAll(): void {
    this.keep([]);
  }

  private keep(conditions: readonly Condition[]): boolean {
    const { study } = this;
    const kept = matching(study.classes, study.facts.hypotheses.n, study.width, [...conditions]);
    if (kept.length === 0) return false;
    this.store.set({ conditions, found: findings(this.now.found.of, kept) });
    const [left, all] = [kept.length, study.facts.hypotheses.n].map((n) => n.toLocaleString("en-US"));
    this.say(`${left} of ${all} outlines match.`, "pixels");
    return true;
  }

  /** Shows what the model draws at a position of the pad. */
  explore(position: readonly [number, number]): void {
    const { pad } = this.study;
    if (!pad) return;
    const inReach = position.map((at) => Math.min(pad.reach, Math.max(-pad.reach, at))) as [number, number];
    const labels = pad.decoder.decode(pad.latent(inReach));
    this.show({ name: "the explored outline", labels, position: inReach, note: null }, inReach);
  }

  showHypothesis(hypothesis: number): void {
    const { pad } = this.study;
    const position = pad ? ([pad.positions[2 * hypothesis], pad.positions[2 * hypothesis + 1]] as const) : null;
    const labels = this.study.labelsOf(hypothesis);
    this.show(
      { name: `outline ${hypothesis + 1} of the model`, labels, position: position && [...position], note: null },
      position,
    );
  }

  private show(explored: Drawing, position: readonly [number, number] | null): void {
    this.toggle("explored", true);
    this.store.set({ explored, position });
  }

  compareWith(drawing: Drawing | null): void {
    if (drawing) this.toggle("compared", true);
    this.say(drawing ? `Comparing ${drawing.name} with the model's outlines …` : "");
    this.store.set({ compared: drawing });
  }

  /** Takes a closed line, x and y of its corners, as the outline to compare. */
  draw(points: readonly number[]): void {
    const mask = filled(points, this.study.height, this.study.width);
    if (!mask.includes(1)) {
      this.say("This outline holds no pixel; drag around what you mean.");
      return;
    }
    const labels = mask.map((inside) => inside * this.label);
    this.compareWith({ name: "your outline", labels, position: null, note: null });
  }

  startEditing({ name, labels }: Pick<Drawing, "name" | "labels">): void {
    const known = labels.map((label) => (label < this.study.facts.classes.length ? label : 0));
    const { edited } = this.now;
    this.edits.begin(known, edited);
    this.toggle("edited", true);
    this.store.set({ edited: known, undoable: this.edits.length, tool: "add" });
    this.say(`Editing starts from ${name}.${edited ? " Undo brings back what you edited before." : ""}`, "edit");
  }

  /** Changes the edited label map; one step for `undoEdit`, unless it goes on with the step before. */
  edit(change: (labels: Uint8Array) => void, goesOn = false): void {
    const { edited } = this.now;
    if (!edited) return;
    if (!goesOn) this.edits.remember(edited);
    const labels = edited.slice();
    change(labels);
    this.store.set({ edited: labels, undoable: this.edits.length });
    this.say("");
  }

  undoEdit(): void {
    const { edited } = this.now;
    if (!edited || this.edits.length === 0) return;
    this.store.set({ edited: this.edits.undo(edited), undoable: this.edits.length });
    this.say("The last step of editing is taken back.", "edit");
  }

  /** Takes the edited mask back to what editing started from; this can be undone. */
  backToStart(): void {
    const { edited } = this.now;
    if (!edited) return;
    this.store.set({ edited: this.edits.toStart(edited), undoable: this.edits.length });
    this.say("The edited mask is what you started from.", "edit");
  }
}
