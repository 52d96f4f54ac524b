// The page of a model: sends each image, shows what comes back, keeps nothing.
"use strict";

const AT_ONCE = 4; // images that are on their way
const WIDTH = 480; // of the pictures that are kept to look at, at most
const SHOWN = 5; // classes of an image; the others unfold
// Some colours of matplotlib's "inferno", between which the map is mixed.
const COLOURS = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const GONE = "The program that shows this page does not answer.";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const within = ({ interval: [low, high] }) => `95 % interval ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`;
const results = []; // of each image: name, and an answer or an error
const waiting = [];
let running = 0;
let clearing = new AbortController(); // stops what is on its way
let model = null;

async function describe() {
  model = await (await fetch("api/model")).json();
  document.title = `HDKD: ${model.title}`;
  element("title").textContent = model.title;
  element("warning").textContent = model.warning;
  element("about").textContent = sentences().join(" ");
  element("limit").textContent = `up to ${megabytes()} each`;
  element("curl").textContent = `curl --data-binary @image.png ${location.origin}/api/classify`;
  const card = await fetch("api/card");
  if (card.ok) element("card-text").innerHTML = await card.text(); // made from Markdown without HTML in it
  else element("card").hidden = true;
}

const megabytes = () => `${model.bytes_limit / 2 ** 20} MiB`;

function sentences() {
  const { accuracy, accuracy_without_copies: others, unlike_alarms: alarms, classes } = model;
  const named = classes.length > 12 ? `${classes.length} classes.` : `Classes: ${classes.join(", ")}.`;
  if (accuracy === null) return [named, "A run folder: nothing was measured for this page."];
  const right = `Right for ${percent(accuracy.share)} of its ${accuracy.images} test images (${within(accuracy)})`;
  const copies = others
    ? `; of the ${others.images} without a copy among the training images for ${percent(others.share)} (${within(others)}).`
    : ".";
  return [
    named, right + copies,
    `Probabilities are ${model.calibrated ? "" : "not "}calibrated.`,
    alarms ? "" : "It cannot tell whether an image is unlike those it was trained on.",
  ];
}

function add(files) {
  element("problem").hidden = files.length > 0;
  element("problem").textContent = "Nothing was dropped that is a file: save the image first, then drop the file.";
  for (const file of files) {
    const item = element("result").content.firstElementChild.cloneNode(true);
    item.querySelector("h2").textContent = file.name;
    element("results").append(item);
    const result = { name: file.name, answer: null, error: null };
    results.push(result);
    waiting.push({ file, item, result, signal: clearing.signal });
  }
  progress();
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    judge(waiting.shift()).finally(() => {
      running -= 1;
      progress();
      next();
    });
  }
}

async function judge({ file, item, result, signal }) {
  try {
    result.answer = await asked(file, signal);
    if (!signal.aborted) await show(file, item, result.answer);
  } catch (error) {
    if (signal.aborted) return;
    result.error = error.message;
    item.querySelector(".label").textContent = "Not judged";
    item.querySelector(".error").textContent = error.message;
    item.querySelector(".error").hidden = false;
    item.querySelector("figure").remove();
  }
}

async function asked(file, signal) {
  if (model && file.size > model.bytes_limit) throw new Error(`larger than the ${megabytes()} that a file may have here`);
  const body = await file.arrayBuffer().catch(() => {
    throw new Error("this cannot be read; choose files, not folders");
  });
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await fetch("api/classify?details=true", { method: "POST", headers, body, signal }).catch(() => {
    throw new Error(GONE);
  });
  const content = await response.json().catch(() => ({ detail: `the program answers with status ${response.status}` }));
  if (!response.ok) throw new Error(content.detail);
  return content;
}

async function show(file, item, answer) {
  item.querySelector(".label").textContent = answer.class;
  item.querySelector(".unlike").hidden = !answer.unlike_training;
  if (model?.unlike_alarms) {
    const rate = `${percent(model.unlike_alarms.share)} of its own test images get this notice, too.`;
    item.querySelector(".rate").textContent = rate;
  }
  list(item, Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]));
  if (answer.details.stage) paint(item.querySelector(".map"), answer.details.stage);
  const picture = item.querySelector(".picture");
  picture.ariaLabel = file.name;
  const small = { resizeWidth: WIDTH, resizeQuality: "high" };
  // What a browser cannot show, TIFF for example, is shown as the network sees it.
  const bitmap = await createImageBitmap(file, small).catch(() => seen(answer.details.seen));
  [picture.width, picture.height] = [bitmap.width, bitmap.height];
  picture.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

async function seen(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return createImageBitmap(image);
}

function list(item, shares) {
  const [first, rest] = item.querySelectorAll("dl");
  shares.forEach(([name, share], position) => {
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    const number = document.createElement("span");
    term.textContent = name;
    number.textContent = percent(share);
    value.append(Object.assign(document.createElement("meter"), { value: share, ariaHidden: "true" }), number);
    (position < SHOWN ? first : rest).append(term, value);
  });
  item.querySelector("details").hidden = shares.length <= SHOWN;
  item.querySelector("summary").textContent = `${shares.length - SHOWN} more`;
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
  const count = (test) => results.filter(test).length;
  const done = count((each) => each.answer || each.error);
  const unlike = count((each) => each.answer?.unlike_training);
  const failed = count((each) => each.error);
  const more = (unlike ? `, ${unlike} unlike the training images` : "") + (failed ? `, ${failed} not judged` : "");
  element("progress").ariaBusy = String(done < results.length); // read aloud when all are done
  element("progress").textContent = `${done} of ${results.length} images done${more}.`;
  element("tools").hidden = !results.length;
  const mapped = results.some((each) => each.answer?.details.stage);
  element("switch").hidden = !mapped;
  element("legend").hidden = !mapped || !element("maps").checked;
  element("csv").disabled = done < results.length;
}

// A spreadsheet would compute a cell that begins with one of these.
const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function table() {
  const rows = [["image", "class", ...model.classes.map((name) => `p_${name}`), "unlike_training", "error"]];
  for (const { name, answer, error } of results) {
    const shares = model.classes.map((each) => answer?.probabilities[each] ?? "");
    rows.push([name, answer?.class ?? "", ...shares, answer?.unlike_training ?? "", error ?? ""]);
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.download = "results.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function clear() {
  clearing.abort();
  clearing = new AbortController();
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
describe().catch(() => { element("about").textContent = GONE; });
