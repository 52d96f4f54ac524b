// The page of a model: sends each image, shows what comes back, keeps nothing.
"use strict";

const AT_ONCE = 4; // images that are on their way
const LIMIT = 32 * 2 ** 20; // bytes, as uploads.py has it
// Some colours of matplotlib's "inferno", between which the map is mixed.
const COLOURS = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const results = []; // of each image: name, and an answer or an error
const waiting = [];
let running = 0;
let generation = 0; // what was asked before "Clear" is not shown after it

async function describe() {
  const about = await (await fetch("api/model")).json();
  document.title = `HDKD: ${about.title}`;
  element("title").textContent = about.title;
  element("warning").textContent = about.warning;
  const parts = [`Classes: ${about.classes.join(", ")}.`];
  if (about.accuracy !== null) {
    const [low, high] = about.accuracy_interval.map((share) => (100 * share).toFixed(1));
    parts.push(`Right for ${percent(about.accuracy)} of its test images (95 % interval ${low} to ${high} %).`);
    parts.push(about.calibrated ? "Probabilities are calibrated." : "Probabilities are not calibrated.");
  } else {
    parts.push("A run folder: nothing was measured for this page, and probabilities are not calibrated.");
  }
  if (about.unlike_alarms !== null) {
    parts.push(`It wrongly calls ${percent(about.unlike_alarms)} of its test images unlike those it was trained on.`);
  } else {
    parts.push("It cannot tell whether an image is unlike those it was trained on.");
  }
  element("about").textContent = parts.join(" ");
  element("curl").textContent = `curl --data-binary @image.png ${location.origin}/api/classify`;
  const card = await fetch("api/card");
  if (card.ok) element("card-text").innerHTML = await card.text(); // made from Markdown without HTML in it
  else element("card").hidden = true;
}

function add(files) {
  for (const file of files) {
    const item = element("result").content.firstElementChild.cloneNode(true);
    item.querySelector("h2").textContent = file.name;
    item.querySelector(".label").textContent = "…";
    element("results").append(item);
    const result = { name: file.name, answer: null, error: null };
    results.push(result);
    waiting.push({ file, item, result, generation });
  }
  progress();
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    const job = waiting.shift();
    judge(job).finally(() => {
      running -= 1;
      progress();
      next();
    });
  }
}

async function judge({ file, item, result, generation: asked }) {
  try {
    if (file.size > LIMIT) throw new Error(`larger than the ${LIMIT / 2 ** 20} MiB that a file may have here`);
    const response = await fetch("api/classify?details=true", {
      method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file,
    });
    const content = await response.json().catch(() => ({ detail: `the program answers with status ${response.status}` }));
    if (!response.ok) throw new Error(content.detail);
    result.answer = content;
  } catch (error) {
    result.error = error instanceof TypeError ? "the program that shows this page does not answer" : error.message;
  }
  if (asked === generation) show(file, item, result);
}

function show(file, item, { answer, error }) {
  if (error) {
    item.querySelector(".label").textContent = "Not judged";
    item.querySelector(".error").textContent = error;
    item.querySelector(".error").hidden = false;
    item.querySelector("figure").remove();
    return;
  }
  const image = item.querySelector("img");
  image.alt = file.name;
  image.onload = () => URL.revokeObjectURL(image.src);
  // What a browser cannot show, TIFF for example, is shown as the network sees it.
  image.onerror = () => { image.onerror = null; image.src = answer.details.seen; };
  image.src = URL.createObjectURL(file);
  item.querySelector(".label").textContent = answer.class;
  item.querySelector(".unlike").hidden = !answer.unlike_training;
  const list = item.querySelector("dl");
  for (const [name, share] of Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1])) {
    const bar = Object.assign(document.createElement("meter"), { value: share, ariaHidden: "true" });
    const cells = [document.createElement("dt"), document.createElement("dd"), document.createElement("dd")];
    cells[0].textContent = name;
    cells[1].append(bar);
    cells[2].textContent = percent(share);
    list.append(...cells);
  }
  if (answer.details.stage) paint(item.querySelector("canvas"), answer.details.stage);
}

function paint(canvas, rows) {
  [canvas.width, canvas.height] = [rows[0].length, rows.length];
  const pixels = new ImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, position) => {
    const place = value * (COLOURS.length - 1);
    const left = Math.min(Math.floor(place), COLOURS.length - 2);
    COLOURS[left].forEach((from, k) => {
      pixels.data[4 * position + k] = from + (COLOURS[left + 1][k] - from) * (place - left);
    });
    pixels.data[4 * position + 3] = 255;
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function progress() {
  const done = results.filter((each) => each.answer || each.error).length;
  const failed = results.filter((each) => each.error).length;
  const more = failed ? `, ${failed} not judged` : "";
  element("progress").textContent = `${done} of ${results.length} images done${more}.`;
  element("tools").hidden = !results.length;
  element("legend").hidden = !results.some((each) => each.answer?.details.stage) || !element("maps").checked;
  element("csv").disabled = done < results.length;
}

// A spreadsheet would compute a cell that begins with one of these.
const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function table() {
  const first = results.find((each) => each.answer);
  const names = first ? Object.keys(first.answer.probabilities) : [];
  const rows = [["image", "class", ...names.map((name) => `p_${name}`), "unlike_training", "error"]];
  for (const { name, answer, error } of results) {
    const shares = names.map((each) => (answer ? answer.probabilities[each] : ""));
    rows.push([name, answer?.class ?? "", ...shares, answer?.unlike_training ?? "", error ?? ""]);
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.download = "results.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function clear() {
  generation += 1;
  waiting.length = results.length = 0;
  element("results").replaceChildren();
  progress();
  element("files").focus();
}

element("files").addEventListener("change", ({ target }) => { add(target.files); target.value = ""; });
element("csv").addEventListener("click", save);
element("clear").addEventListener("click", clear);
element("maps").addEventListener("change", ({ target }) => {
  element("results").classList.toggle("plain", !target.checked);
  progress();
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // a browser would open what is dropped
    element("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") add(event.dataTransfer.files);
  });
}
describe().catch(() => { element("about").textContent = "The program that shows this page does not answer."; });
