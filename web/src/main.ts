/** The page: what happens on a click, a drop, a paste; what is shown when. */

import "./style.css";
import { Cancelled, Deblurrer } from "./deblurrer";
import { element } from "./dom";
import { Refusal } from "./failures";
import { checkFile, pickFile, resultName, saveAs } from "./files";
import type { Format, Outcome } from "./messages";
import { loadModels } from "./models";
import { registerServiceWorker } from "./offline";
import * as strings from "./strings";
import { Viewer } from "./viewer";

/** `empty`: no photo; `working`: something runs; `open`: a photo that is not restored; `done`: a restored one. */
type State = "empty" | "working" | "open" | "done";

const query = new URLSearchParams(location.search);
const viewer = new Viewer(element("stage"), element("zoom-label"));
const progressBar = element<HTMLProgressElement>("progress");
const strength = element<HTMLInputElement>("strength");
const form = element<HTMLFormElement>("controls");

// The settings in the address are for tests and for measuring.
const models = loadModels();
const deblurrer = models.then(
  (loaded) =>
    new Deblurrer({
      base: document.baseURI,
      models: loaded,
      tile: Number(query.get("tile")) || null,
      gpu: query.get("device") !== "wasm",
    }),
);
deblurrer.catch(() => fail(new Refusal("network")));

let state: State = "empty";
let fileName = "photo";
let saving = false; // one file at a time: the worker does not say for which click a file is
let turn = 0; // counts what was begun, so that an end that comes late is not taken for that of the latest

function show(next: State): void {
  const focused = document.activeElement;
  state = document.body.dataset.state = next;
  element("start").hidden = state !== "empty";
  element("work").hidden = state === "empty";
  for (const id of ["progress", "step", "cancel"]) element(id).hidden = state !== "working";
  element("restore").hidden = state !== "open";
  for (const each of element("result").querySelectorAll<HTMLInputElement>("input, select, button")) {
    each.disabled = state !== "done";
  }
  // A button that goes hands its focus to the one that comes, or people with a keyboard would be lost.
  if (focused instanceof HTMLElement && focused !== document.body && focused.offsetParent === null) {
    element({ empty: "pick", working: "cancel", open: "restore", done: "download" }[state]).focus();
  }
}

function say(text: string): void {
  if (element("status").textContent !== text) element("status").textContent = text;
}

/** Screen readers hear what begins, by `say`; how far it is, they ask the bar. */
function advance(text: string, done: number, total: number): void {
  progressBar.max = total;
  progressBar.value = done;
  element("step").textContent = text;
}

function waitWithoutEnd(text: string): void {
  say(text);
  progressBar.removeAttribute("value");
  element("step").textContent = "";
}

function fail(error: unknown): void {
  if (error instanceof Cancelled) return;
  const reason = error instanceof Refusal ? error.reason : "unknown";
  console.warn(error);
  element("alert").textContent = strings.FAILURES[reason];
  element("alert").hidden = false;
  element("alert").scrollIntoView({ block: "nearest" }); // on a phone, the button is far below
}

function clearFailure(): void {
  element("alert").hidden = true;
  element("alert").textContent = "";
}

async function openFile(file: File | null): Promise<void> {
  if (!file) return;
  clearFailure();
  let worker: Deblurrer;
  try {
    worker = await deblurrer;
    await checkFile(file);
  } catch (error) {
    fail(error); // what is shown, or goes on, is not touched
    return;
  }
  const now = ++turn;
  try {
    const bitmap = await worker.open(file);
    if (now !== turn) return;
    fileName = file.name || "photo";
    element("photo-name").textContent = fileName;
    show("working");
    viewer.setBefore(bitmap);
  } catch (error) {
    if (now !== turn) return;
    fail(error);
    if (state === "working" || (state === "done" && !worker.hasPicture)) stop(); // opening ended what went on
    return;
  }
  await restore();
}

/** The photo is there, and not restored. */
function stop(): void {
  viewer.clearAfter();
  show("open");
  say(strings.STOPPED);
}

async function restore(): Promise<void> {
  const now = ++turn;
  clearFailure();
  show("working");
  viewer.clearAfter();
  waitWithoutEnd(strings.PREPARING);
  try {
    const worker = await deblurrer;
    worker.cancel();
    const network = new FormData(form).get("network") as string;
    const outcome = await worker.restore(network, (answer) => {
      if (now !== turn) return;
      if (answer.type === "preparing") {
        waitWithoutEnd(strings.PREPARING);
      } else if (answer.type === "download") {
        say(strings.LOADING);
        advance(strings.downloading(answer.loaded, answer.total), answer.loaded, answer.total);
      } else {
        say(strings.RESTORING);
        advance(strings.restoring(answer.done, answer.total), answer.done, answer.total);
      }
    });
    if (now === turn) finish(outcome);
  } catch (error) {
    if (now !== turn) return;
    stop();
    fail(error);
  }
}

function finish(outcome: Outcome): void {
  viewer.setAfter(outcome.bitmap);
  show("done");
  say(strings.restored(outcome));
  Object.assign(document.body.dataset, { seconds: outcome.seconds.toFixed(2), device: outcome.device, threads: outcome.threads });
}

async function save(): Promise<void> {
  if (saving) return;
  const now = turn;
  setSaving(true);
  clearFailure();
  const format = element<HTMLSelectElement>("format").value as Format;
  const name = resultName(fileName, format);
  say(strings.SAVING);
  try {
    const blob = await (await deblurrer).save(format, Number(strength.value) / 100);
    if (now !== turn) return;
    saveAs(blob, name);
    say(strings.saved(name));
  } catch (error) {
    if (now !== turn) return; // what ended it says something else by now
    say("");
    fail(error);
  } finally {
    setSaving(false);
  }
}

/** The button stays enabled, or people with a keyboard would lose their place. */
function setSaving(now: boolean): void {
  saving = now;
  element("download").ariaDisabled = String(now);
}

function showStrength(): void {
  element("strength-label").textContent = `${strength.value} %`;
  viewer.setStrength(Number(strength.value) / 100);
}

/** One choice for each network, the first of which is the default. */
async function listNetworks(): Promise<void> {
  const { networks } = await models;
  const choices = networks.map((network, number) => {
    const [label, note] = strings.networkLabel(network);
    const choice = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "network", value: network.name, checked: number === 0 });
    const text = document.createElement("span");
    const small = document.createElement("small");
    small.textContent = note;
    text.append(label, small);
    choice.append(input, text);
    return choice;
  });
  element("networks").replaceChildren(...choices);
}

function listen(): void {
  for (const id of ["pick", "pick-another", "camera"]) {
    const input = element<HTMLInputElement>(id);
    input.addEventListener("change", () => {
      void openFile(pickFile(input.files));
      input.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", (event) => void openFile(pickFile(event.clipboardData?.files)));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    void openFile(pickFile(event.dataTransfer?.files));
  });
  element("cancel").addEventListener("click", () => void deblurrer.then((worker) => worker.cancel()));
  element("restore").addEventListener("click", () => void restore());
  element("networks").addEventListener("change", () => void restore());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void save();
  });
  strength.addEventListener("input", showStrength);
  element("zoom-in").addEventListener("click", () => viewer.zoomIn());
  element("zoom-out").addEventListener("click", () => viewer.zoomOut());
  element("zoom-fit").addEventListener("click", () => viewer.fit());
  element("zoom-pixels").addEventListener("click", () => viewer.showPixels());
}

listen();
show("empty");
showStrength();
void listNetworks().catch(() => undefined); // told by the failure of `deblurrer`
void registerServiceWorker(() => turn > 0);
