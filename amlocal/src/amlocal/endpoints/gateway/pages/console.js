// The console: in by the key, then the model's own page or a request in JSON, and what the endpoint answered.

import { ask, pretty, useKey } from "./client.js";
import { example, fields, schemaOf } from "./schema.js";

// `localhost` may lead to ::1 as well, where somebody else may listen; the endpoint is at 127.0.0.1 only.
if (location.hostname === "localhost") location.hostname = "127.0.0.1";

const by = id => document.getElementById(id);
const page = document.documentElement.dataset;
let about = null, frame = null, watched = false;
let schema = {}, touched = false, lastOfModel = "";

// --- in and out ---

async function enter(key) {
  useKey(key);
  const answer = await ask("/console/about");
  if (answer.status !== 200) {
    leave(answer.status === 401 ? `That is not a ${page.key} of this endpoint, or not any more.` : answer.explained);
    return;
  }
  about = JSON.parse(answer.text);
  by("door").hidden = true;
  by("bar").hidden = false;
  by("leave").hidden = page.door === "open";
  for (const id of ["tab-model", "tab-test"]) by(id).hidden = !page.page;
  by("tab-model").textContent = page.page;
  offerDeployments();
  choose(page.page ? "model" : "test");
  loadSample();
}

function leave(why = "") {
  useKey("");
  about = null;
  frame?.remove();
  frame = null;
  watched = false;
  for (const id of ["bar", "model", "test"]) by(id).hidden = true;
  by("door").hidden = false;
  by("key").value = "";
  by("wrong").textContent = why;
  by("key").setAttribute("aria-invalid", String(Boolean(why)));
  by("key").focus();
  clearAnswer();
  [schema, touched, lastOfModel, by("json").value] = [{}, false, "", "{}"];
}

by("entry").addEventListener("submit", event => {
  event.preventDefault();
  const key = by("key").value.trim();
  by("key").value = "";
  enter(key);
});
by("leave").addEventListener("click", () => leave());

// Traffic may have moved while the person was away.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || !about) return;
  const answer = await ask("/console/about");
  if (answer.status === 401) leave(answer.explained);
  if (answer.status !== 200 || !about) return;
  about = JSON.parse(answer.text);
  offerDeployments();
  tellModel();
});

// --- tabs ---

const tabs = [by("tab-model"), by("tab-test")];

function choose(panel) {
  for (const tab of tabs) {
    const mine = tab.getAttribute("aria-controls") === panel;
    tab.setAttribute("aria-selected", String(mine));
    tab.tabIndex = mine ? 0 : -1;
    by(tab.getAttribute("aria-controls")).hidden = !mine;
  }
  if (panel === "model" && !frame) showModel();
  if (panel === "test" && !touched && lastOfModel) {  // what the model's page has sent is the best of samples
    try {
      by("json").value = pretty(JSON.parse(lastOfModel));
    } catch {  // a page may send anything: shown as it is, where it can be
      by("json").value = lastOfModel;
      by("view").querySelector("[value=json]").checked = true;
    }
    showView();
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", event => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = tabs.find(one => one !== tab);
    other.focus();
    other.click();
  });
}

// --- the model's own page: an origin of its own, which asks us and nobody else ---

function showModel() {
  frame = document.createElement("iframe");
  frame.title = page.page;
  frame.setAttribute("sandbox", "allow-scripts");
  frame.src = "/console/model";
  by("model").replaceChildren(frame);
}

function tellModel() {
  if (!frame || !watched) return;
  const { name, description } = about;
  const deployments = about.deployments.map(({ name, traffic, mirror, runs }) => ({ name, traffic, mirror, runs }));
  frame.contentWindow.postMessage({ about: { name, description, deployments } }, "*");
}

addEventListener("message", async event => {
  const asking = frame;
  if (!asking || event.source !== asking.contentWindow) return;
  const { watch, id, body, deployment } = event.data ?? {};
  if (watch) {
    watched = true;
    tellModel();
    return;
  }
  if (typeof body !== "string") return;
  lastOfModel = body;
  const answer = await ask("/score", { body, deployment: typeof deployment === "string" ? deployment : "" });
  if (frame !== asking) return;
  if (answer.status === 401) leave(answer.explained);
  else asking.contentWindow.postMessage({ id, answer }, "*");
});

// --- a request in JSON ---

function offerDeployments() {
  const select = by("deployment"), chosen = select.value;
  const shares = about.deployments.filter(one => one.traffic).map(one => `${one.name} ${one.traffic} %`).join(", ");
  const options = [new Option(`by traffic rule (${shares || "none has traffic"})`, "")];
  for (const one of about.deployments) {
    const told = one.runs ? `${one.traffic} % of the traffic` : one.state;
    options.push(new Option(`${one.name} (${told})`, one.name));
  }
  select.replaceChildren(...options);
  select.value = about.deployments.some(one => one.name === chosen) ? chosen : "";
}

async function loadSample() {
  const running = about.deployments.filter(one => one.runs), byRule = running.some(one => one.traffic);
  by("empty").textContent = running.length ? "Nothing was sent yet." : "The endpoint has no deployment that runs.";
  if (!running.length) return;
  const answer = await ask("/swagger.json", { deployment: by("deployment").value || (byRule ? "" : running[0].name) });
  let found = {};
  try { if (answer.status === 200) found = schemaOf(JSON.parse(answer.text)); } catch { /* a swagger that is none */ }
  if (!about || touched) return;
  schema = found;
  by("json").value = pretty(example(schema) ?? {});
  by("view").hidden = !fields(schema).length;
  by("view").querySelector("[value=form]").checked = true;
  showView();
}

by("deployment").addEventListener("change", () => { if (!touched) loadSample(); });
by("json").addEventListener("input", () => { touched = true; complain(""); });

// The text is what is sent; the form is another way to write it.
const formIsShown = () => !by("view").hidden && by("view").querySelector("[value=form]").checked;

function showView() {
  by("form").hidden = !formIsShown();
  by("json").hidden = formIsShown();
  fillForm();
}

function fillForm() {
  if (!formIsShown()) return;
  let value;
  try { value = JSON.parse(by("json").value); } catch { value = {}; }
  const make = ({ name, kind, told }) => {
    const row = document.createElement("div"), label = document.createElement("label");
    const input = document.createElement(kind === "json" ? "textarea" : "input");
    input.id = label.htmlFor = `field-${name}`;
    label.append(`${name} `, Object.assign(document.createElement("small"), { textContent: told }));
    if (kind === "boolean") [input.type, input.checked] = ["checkbox", Boolean(value?.[name])];
    else if (kind === "json") input.value = value?.[name] === undefined ? "" : pretty(value[name]);
    else {
      input.value = value?.[name] ?? "";
      if (kind === "number") [input.inputMode, input.autocomplete] = ["decimal", "off"];
    }
    input.addEventListener("input", () => write(name, kind, input));
    row.append(label, input);
    return row;
  };
  by("form").replaceChildren(...fields(schema).map(make));
}

function write(name, kind, input) {
  let whole, value;
  try { whole = JSON.parse(by("json").value); } catch { whole = {}; }
  try {
    if (kind === "boolean") value = input.checked;
    else if (kind === "string") value = input.value;
    else value = input.value.trim() ? JSON.parse(input.value) : undefined;  // emptied: left out of the request
    if (kind === "number" && !["number", "undefined"].includes(typeof value)) throw new TypeError();
    input.classList.remove("bad");
    input.removeAttribute("aria-invalid");
  } catch {
    input.classList.add("bad");
    input.setAttribute("aria-invalid", "true");
    return;
  }
  whole = { ...whole, [name]: value };
  if (value === undefined) delete whole[name];
  by("json").value = pretty(whole);
  touched = true;
}

by("view").addEventListener("change", showView);

function complain(why) {
  by("unsound").textContent = why;
  by("json").setAttribute("aria-invalid", String(Boolean(why)));
}

async function send() {
  const body = by("json").value;
  complain("");
  const bad = formIsShown() && by("form").querySelector(".bad");
  if (bad) {
    complain("A field holds what it cannot hold.");
    bad.focus();
    return;
  }
  try { JSON.parse(body); } catch (error) {
    complain(`This is no JSON: ${error.message}`);
    by("json").focus();
    return;
  }
  by("send").disabled = true;
  const answer = await ask("/score", { body, deployment: by("deployment").value });
  by("send").disabled = false;
  if (!about) return;
  if (answer.status === 401) leave(answer.explained);
  else showAnswer(answer);
}

by("request").addEventListener("submit", event => { event.preventDefault(); send(); });
by("request").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !by("send").disabled) {
    event.preventDefault();
    send();
  }
});

// --- the answer ---

function clearAnswer() {
  for (const id of ["told", "facts", "answer"]) by(id).hidden = true;
  by("empty").hidden = false;
  by("status").textContent = "";
}

function showAnswer({ status, ms, headers, text, explained }) {
  by("empty").hidden = true;
  by("status").textContent = status ? `${status} in ${ms.toFixed(ms < 10 ? 1 : 0)} ms` : "no answer";
  by("status").className = `status ${status === 200 ? "good" : "bad"}`;
  by("told").textContent = explained;
  by("told").hidden = !explained;
  const facts = {
    "Deployment": headers["azureml-model-deployment"],
    "run() took": headers["x-ms-run-fn-exec-ms"] && `${headers["x-ms-run-fn-exec-ms"]} ms`,
    "Request id": headers["x-request-id"],
    "Client's id": headers["x-ms-client-request-id"],
  };
  const pairs = Object.entries(facts).filter(([, fact]) => fact);
  by("facts").replaceChildren(...pairs.flatMap(([name, fact]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: fact }),
  ]));
  by("facts").hidden = !pairs.length;
  let shown = text;
  try { shown = pretty(JSON.parse(text)); } catch { /* not JSON: as it is */ }
  by("answer").textContent = shown;
  by("answer").hidden = !shown;
}

if (page.door === "open") enter("");
else leave();
