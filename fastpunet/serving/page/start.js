// Sends an image to the service, and shows the report page that comes back.
"use strict";
const get = (id) => document.getElementById(id);
const [form, file, status, frame, draw] = ["start", "file", "status", "report", "draw"].map(get);

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

function address(image) {
  const asked = new URLSearchParams({ n: get("n").value, seed: get("seed").value, name: image.name.slice(0, 200) });
  if (get("intensity").value.trim()) asked.set("intensity", get("intensity").value.trim());
  if (get("convert").checked) asked.set("convert", "true");
  return `models/${encodeURIComponent(get("model").value)}/report?${asked}`;
}

async function answer(image) {
  const token = get("token")?.value;
  const response = await fetch(address(image), {
    method: "POST",
    body: image,
    headers: { "Content-Type": "application/octet-stream", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
  });
  if (response.ok) return response.text();
  const { error } = await response.json().catch(() => ({ error: `the service said ${response.status}` }));
  throw new Error(error);
}

async function show() {
  const image = file.files[0];
  if (!image || draw.disabled) return;
  draw.disabled = true;
  say(`Drawing ${get("n").value} hypotheses of ${image.name} …`);
  try {
    frame.srcdoc = await answer(image);
    frame.hidden = false;
    draw.textContent = "Draw again";
    say(`${image.name}, seed ${get("seed").value}`);
  } catch (error) {
    say(error.message, true);
  } finally {
    draw.disabled = false;
  }
}

// The report page in the frame has no access to the service: it hears that it may be drawn anew, and says how.
frame.addEventListener("load", () => {
  frame.contentWindow.postMessage({ mostHypotheses: Number(get("n").max) }, "*");
});
addEventListener("message", ({ source, data }) => {
  if (source !== frame.contentWindow || !Number.isSafeInteger(data?.n) || !Number.isSafeInteger(data?.seed)) return;
  get("n").value = data.n;
  get("seed").value = data.seed;
  form.requestSubmit();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    form.classList.toggle("dropping", kind === "dragenter" || kind === "dragover");
  });
}
addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) {
    file.files = event.dataTransfer.files;
    form.requestSubmit();
  }
});
