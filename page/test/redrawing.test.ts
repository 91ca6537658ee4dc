// @vitest-environment happy-dom
import { describe, expect, it, vi } from "vitest";
import { askFor, offered } from "../src/state/service";
import { redrawing } from "../src/view/redrawing";
import { binaryCase } from "./cases";

const { hypotheses } = binaryCase();
const settled = () => new Promise((resolve) => setTimeout(resolve));

describe("drawing anew", () => {
  it("is offered by a service alone", async () => {
    const tools = redrawing(hypotheses, new Promise(() => undefined), vi.fn());
    await settled();
    expect(tools.hidden).toBe(true);
  });

  it("asks for what the reader chose, within what the service takes", async () => {
    const ask = vi.fn();
    const tools = redrawing(hypotheses, Promise.resolve({ mostHypotheses: 500 }), ask);
    await settled();
    expect(tools.hidden).toBe(false);
    const [n, seed] = [...tools.querySelectorAll("input")];
    expect([n.value, seed.value]).toEqual([String(hypotheses.n), String(hypotheses.seed)]);
    [n.value, seed.value] = ["501", "7"];
    tools.querySelector("button")!.click();
    expect(ask).not.toHaveBeenCalled();
    n.value = "500";
    tools.querySelector("button")!.click();
    expect(ask).toHaveBeenCalledExactlyOnceWith(500, 7);
  });

  it("listens to the owner of its frame, and to nobody else", async () => {
    const postMessage = vi.fn();
    const owner = { postMessage } as unknown as Window;
    vi.stubGlobal("parent", owner);
    const heard = vi.fn();
    void offered().then(heard);
    const say = (source: unknown, data: unknown) =>
      dispatchEvent(Object.assign(new MessageEvent("message", { data }), { source }));
    Object.defineProperty(MessageEvent.prototype, "source", { writable: true, configurable: true });
    say(window, { mostHypotheses: 5 });
    say(owner, null);
    say(owner, { mostHypotheses: "5" });
    await settled();
    expect(heard).not.toHaveBeenCalled();
    say(owner, { mostHypotheses: 5 });
    await settled();
    expect(heard).toHaveBeenCalledExactlyOnceWith({ mostHypotheses: 5 });
    askFor(5, 6);
    expect(postMessage).toHaveBeenCalledExactlyOnceWith({ n: 5, seed: 6 }, "*");
  });
});
