import type { Case } from "./case";
import { readStudy } from "./data/study";
import { hookOf, type Hook } from "./hook";
import { buildPage } from "./page";
import { offered, type Offer } from "./state/service";
import { Session } from "./state/session";
import { el } from "./view/dom";

declare global {
  interface Window {
    /** Resolves once the page can be used and its decoders are timed. */
    fastpunet: Promise<Hook>;
  }
}

async function start(main: HTMLElement, offer: Promise<Offer>): Promise<Hook> {
  const facts = JSON.parse(document.getElementById("case")!.textContent) as Case;
  const session = new Session(await readStudy(facts));
  buildPage(main, session, offer);
  await painted();
  const { pad } = session.study;
  await pad?.decoder.chooseFastest(pad.latent([0, 0]));
  return hookOf(session);
}

/** Resolves once the page has been shown, or would have been in a tab that is not. */
function painted(): Promise<void> {
  return new Promise((resume) => {
    requestAnimationFrame(() => setTimeout(resume));
    setTimeout(resume, 1000);
  });
}

const main = document.getElementById("page")!;
window.fastpunet = start(main, offered());
window.fastpunet.catch((error: unknown) => {
  main.prepend(el("p", { class: "warnings", role: "alert" }, `This page could not be set up: ${String(error)}`));
});
