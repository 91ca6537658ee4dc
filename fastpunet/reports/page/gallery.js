// Sorts the images of a gallery and shows those whose name or file contains what was typed.
"use strict";
const list = document.getElementById("images");
const order = document.getElementById("order");
const search = document.getElementById("search");
const count = document.getElementById("count");
const images = [...list.children].map((element) => ({
  element,
  name: element.dataset.name,
  searched: `${element.dataset.name}\n${element.dataset.source}`.toLowerCase(),
  values: JSON.parse(element.dataset.values),
}));
const collator = new Intl.Collator("en", { numeric: true });

function sort() {
  const key = order.value;
  const value = (image) => image.values[key] ?? -Infinity; // undefined comes last
  const compare = (a, b) => value(b) - value(a) || collator.compare(a.name, b.name);
  images.sort(key === "name" ? (a, b) => collator.compare(a.name, b.name) : compare);
  list.append(...images.map((image) => image.element));
}

function filter() {
  const wanted = search.value.trim().toLowerCase();
  for (const { element, searched } of images) element.hidden = !searched.includes(wanted);
  const shown = images.filter(({ element }) => !element.hidden).length;
  count.textContent = wanted ? `${shown} of ${images.length} images` : "";
}

order.addEventListener("change", sort);
search.addEventListener("input", filter);
document.getElementById("tools").hidden = false;
addEventListener("pageshow", () => {
  // a browser that comes back here restores what was chosen, after this script has run
  sort();
  filter();
});
