// Elements, made without a framework. Whatever comes from the case goes into them as text or as an attribute's value.

type Child = Node | string | null | false;
type Attributes = Record<string, string | number | boolean | EventListener | undefined>;

/** An element with attributes; functions listen to the event of their name, true is an attribute without a value. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

let made = 0;

/** An id that no other element has. */
export function newId(stem: string): string {
  made += 1;
  return `${stem}-${made}`;
}

export function button(label: string, press: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return el("button", { type: "button", click: press, ...attributes }, label);
}

/** A checkbox in its label. */
export function check(
  label: Child[],
  checked: boolean,
  change: (checked: boolean) => void,
  attributes: Attributes = {},
): HTMLLabelElement {
  const box = el("input", {
    type: "checkbox",
    change: () => {
      change(box.checked);
    },
    ...attributes,
  });
  box.checked = checked;
  return el("label", { class: "check" }, box, ...label);
}

/** A part of the page with a heading. */
export function section(heading: string, id: string, ...children: Child[]): HTMLElement {
  return el(
    "section",
    { class: "card", id, "aria-labelledby": `${id}-heading` },
    el("h2", { id: `${id}-heading` }, heading),
    ...children,
  );
}

/** Runs after other changes of the same moment, once, before the next frame is shown. */
export function eachFrame(run: () => void): () => void {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      run();
    });
  };
}
