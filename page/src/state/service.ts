// The service that may have made this page (fastpunet serve): it shows the page in a frame and has the image, so that it
// can draw anew. The page itself sends nothing but a wish to that frame's owner.

/** What a service takes. */
export interface Offer {
  mostHypotheses: number;
}

/** Resolves once the owner of this frame offers to draw anew; never for a page that is open by itself. */
export function offered(): Promise<Offer> {
  return new Promise((resolve) => {
    addEventListener("message", ({ source, data }: MessageEvent) => {
      if (window.parent === window || source !== window.parent) return;
      const most: unknown = (data as { mostHypotheses?: unknown } | null)?.mostHypotheses;
      if (typeof most === "number") resolve({ mostHypotheses: most });
    });
  });
}

/** Asks the owner of this frame for a page with other hypotheses. */
export function askFor(n: number, seed: number): void {
  window.parent.postMessage({ n, seed }, "*");
}
