// The decoder of the page: all backends that work here, the fastest first.
import type { Backend } from "./backend";
import { javascriptBackend } from "./javascript";
import { webassemblyBackend } from "./webassembly";
import { webglBackend } from "./webgl";
import type { Weights } from "./weights";

const AGREEING = 0.999; // of the pixels: a backend that agrees less with plain JavaScript is not used
const TIMED_RUNS = 3;
const HOPELESS = 4; // times slower than the fastest so far: one run tells enough

export class LiveDecoder {
  /** Milliseconds of one decoding with each backend that works. */
  readonly milliseconds: Record<string, number> = {};
  private constructor(
    private readonly weights: Weights,
    private readonly pixels: [number, number],
    private readonly backends: Backend[],
  ) {}

  /** A decoder that works at once, for an image of (height, width). `chooseFastest` may replace its backend. */
  static async create(weights: Weights, pixels: [number, number]): Promise<LiveDecoder> {
    const fast = await webassemblyBackend(weights).catch(() => null);
    return new LiveDecoder(weights, pixels, fast ? [fast, javascriptBackend(weights)] : [javascriptBackend(weights)]);
  }

  get backend(): Backend["name"] {
    return this.backends[0].name;
  }

  get names(): Backend["name"][] {
    return this.backends.map(({ name }) => name);
  }

  /** Times every backend at latent z, lets go of those that are wrong there, and takes the fastest from now on. */
  async chooseFastest(z: ArrayLike<number>): Promise<void> {
    const plain = this.backends.at(-1)!;
    const expected = plain.labels(z);
    try {
      this.backends.push(webglBackend(this.weights));
    } catch {
      // no WebGL here: the others do
    }
    for (const backend of [...this.backends]) {
      await new Promise((resume) => setTimeout(resume)); // the page may do something else between them
      const passed = tried(backend, z, expected, Math.min(...Object.values(this.milliseconds)));
      if (passed === null && backend !== plain) this.backends.splice(this.backends.indexOf(backend), 1);
      else this.milliseconds[backend.name] = passed ?? 0;
    }
    this.backends.sort((a, b) => this.milliseconds[a.name] - this.milliseconds[b.name]);
  }

  /** The label map of latent z, (height, width) of the image, from the named backend or the fastest one. */
  decode(z: ArrayLike<number>, name?: string): Uint8Array {
    const chosen = name === undefined ? this.backends[0] : this.backends.find((backend) => backend.name === name);
    if (!chosen) throw new Error(`backend: got ${name}, expected one of ${this.names.join(", ")}`);
    let labels;
    try {
      labels = chosen.labels(z);
    } catch (error) {
      if (name !== undefined || this.backends.length === 1) throw error;
      this.backends.shift(); // such as a lost WebGL context
      return this.decode(z);
    }
    return this.placed(labels);
  }

  private placed(labels: Uint8Array): Uint8Array {
    const { row, column, height, width } = this.weights.place;
    const [rows, columns] = this.pixels;
    if (height === rows && width === columns) return labels;
    const image = new Uint8Array(rows * columns);
    for (let y = 0; y < height; y++)
      image.set(labels.subarray(y * width, (y + 1) * width), (row + y) * columns + column);
    return image;
  }
}

/** Milliseconds of one decoding, the least of some; null if it fails or gives other labels than expected. */
function tried(backend: Backend, z: ArrayLike<number>, expected: Uint8Array, fastest: number): number | null {
  try {
    const found = backend.labels(z);
    const equal = found.reduce((sum, label, p) => sum + (label === expected[p] ? 1 : 0), 0);
    if (found.length !== expected.length || equal < AGREEING * expected.length) return null;
    let least = Infinity;
    for (let run = 0; run < TIMED_RUNS && (run === 0 || least < HOPELESS * fastest); run++) {
      const start = performance.now();
      backend.labels(z);
      least = Math.min(least, performance.now() - start);
    }
    return least;
  } catch {
    return null;
  }
}
