// window.fastpunet: the page for scripts, such as its tests.
import { compare, type Comparison } from "./data/comparing";
import { fileOf, type Kind } from "./export/exporting";
import type { Session } from "./state/session";

export interface Hook {
  readonly session: Session;
  /** Backends that work here, the fastest first, and milliseconds of one decoding with each. */
  readonly backends: string[];
  readonly milliseconds: Readonly<Record<string, number>>;
  /** The label map of latent z, (height * width,), from the fastest backend or the named one. */
  decode(z: ArrayLike<number>, backend?: string): Uint8Array;
  /** The hypotheses that agree with all that was included and excluded. */
  kept(): number[];
  /** Modes among these, with the hypothesis that stands for each. */
  modes(): { name: string; count: number; share: number; interval: [number, number]; hypothesis: number | null }[];
  include(row: number, column: number): boolean;
  exclude(row: number, column: number): boolean;
  undo(): void;
  reset(): void;
  /** Moves the point of the map in circles for some seconds, a step for each frame of the browser. Frames a second. */
  frameRate(seconds: number): Promise<number>;
  /** Compares a label map with the hypotheses that are kept. */
  compare(labels: ArrayLike<number>): Promise<Comparison | null>;
  /** Starts to edit a label map; `exported` gives the file of it. */
  edit(labels: ArrayLike<number>): void;
  exported(kind: Kind): Promise<Uint8Array>;
}

export function hookOf(session: Session): Hook {
  const decoder = session.study.pad?.decoder;
  return {
    session,
    backends: decoder?.names ?? [],
    milliseconds: decoder?.milliseconds ?? {},
    decode(z, backend) {
      if (!decoder) throw new Error("decode: this case has no decoder");
      return decoder.decode(z, backend);
    },
    kept: () => [...session.now.found.kept],
    modes: () =>
      session.now.found.modes.map(({ name, count, share, interval, hypothesis }) => ({
        name,
        count,
        share,
        interval,
        hypothesis,
      })),
    include: (row, column) => session.require(row, column, true),
    exclude: (row, column) => session.require(row, column, false),
    undo: () => {
      session.forget();
    },
    reset: () => {
      session.forgetAll();
    },
    frameRate: (seconds) => frameRate(session, seconds),
    compare: (labels) => compare(session.now.found, Uint8Array.from(labels), () => false),
    edit: (labels) => {
      session.startEditing({ name: "a script", labels: Uint8Array.from(labels) });
    },
    exported: (kind) => fileOf(session, kind),
  };
}

async function frameRate(session: Session, seconds: number): Promise<number> {
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < 1000 * seconds) {
    await new Promise(requestAnimationFrame);
    session.explore([Math.cos(frames / 7), Math.sin(frames / 5)]);
    frames += 1;
  }
  return (1000 * frames) / (performance.now() - start);
}
