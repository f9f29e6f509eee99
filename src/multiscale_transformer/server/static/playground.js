// The playground: asks the OpenAI routes of the server it came from, and shows what comes as it comes.

const element = (id) => document.getElementById(id);
const settings = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
let running = null; // AbortController of the request in progress
let conversation = [];
let seers = []; // models that take pictures
let last = { given: "", text: "", suffix: "" };

async function call(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const key = element("key").value;
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body), signal } : { headers, signal });
  if (!answer.ok) {
    if (answer.status === 401) element("key-row").hidden = false;
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error?.message ?? told.error ?? `the server says ${answer.status}`);
  }
  return answer;
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    for (let end; (end = held.indexOf("\n\n")) >= 0; held = held.slice(end + 2)) {
      const line = held.slice(0, end);
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

function options() {
  const chosen = { model: element("model").value, stream: true, stream_options: { include_usage: true } };
  for (const name of settings) {
    const value = element(name).value;
    if (value !== "") chosen[name] = Number(value);
  }
  const stop = element("stop-text").value.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
  if (stop) chosen.stop = [stop];
  return chosen;
}

function notice(text) {
  element("notice").textContent = text;
  element("notice").hidden = !text;
}

function busy(on) {
  for (const id of ["run", "send", "propose"]) element(id).disabled = on;
  for (const id of ["stop", "stop-chat", "stop-proposal"]) element(id).disabled = !on;
}

async function run(path, body, onChoice) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  notice("");
  busy(true);
  const began = performance.now();
  let first = 0, bytes = 0;
  try {
    for await (const event of events(await call(path, body, mine.signal))) {
      const choice = event.choices[0];
      if (choice) {
        const text = choice.text ?? choice.delta?.content ?? "";
        if (text && !first) first = performance.now();
        bytes += new TextEncoder().encode(text).length;
        onChoice(text, choice);
      }
      if (event.usage) bytes = event.usage.completion_tokens;
      const seconds = (performance.now() - (first || began)) / 1000;
      const wait = first ? `first byte after ${Math.round(first - began)} ms` : "reading";
      element("speed").textContent = `${bytes} bytes, ${wait}, ${Math.round(bytes / Math.max(seconds, 0.001))} bytes/s`;
    }
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
    showLoaded();
  }
}

// The text with what stands in the memory marked. Offsets of sources count bytes of UTF-8.
function paint(given, text, suffix, sources) {
  const output = element("output");
  const bytes = new TextEncoder().encode(text), decoder = new TextDecoder();
  output.replaceChildren();
  const add = (kind, content, name) => {
    const part = document.createElement(kind);
    part.textContent = content;
    if (name) part.className = name;
    output.append(part);
    return part;
  };
  add("span", given, "given");
  let at = 0;
  sources.forEach((source, index) => {
    output.append(decoder.decode(bytes.slice(at, source.begin)));
    const part = add("mark", decoder.decode(bytes.slice(source.begin, source.end)), source.copied ? "copied" : "");
    part.dataset.source = index;
    part.title = `${source.file}:${source.line}`;
    at = source.end;
  });
  output.append(decoder.decode(bytes.slice(at)));
  add("span", suffix, "given");
}

function list(sources) {
  element("sources-none").hidden = sources.length > 0;
  element("sources").replaceChildren(...sources.map((source, index) => {
    const item = document.createElement("li"), button = document.createElement("button"), more = document.createElement("small");
    button.textContent = `${source.file}:${source.line}`;
    more.textContent = `${source.matched} bytes match` + (source.copied ? `; a copy${source.licence ? ` (${source.licence})` : ""}` : "");
    button.append(more);
    const choose = (on) => element("output").querySelector(`[data-source="${index}"]`)?.classList.toggle("chosen", on);
    for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]])
      button.addEventListener(name, () => choose(on));
    item.append(button);
    return item;
  }));
}

async function complete() {
  const given = element("prompt").value, suffix = element("suffix").value;
  let text = "", sources = [];
  list([]);
  paint(given, "", suffix, []);
  element("accept").disabled = true;
  const body = { ...options(), prompt: given, ...(suffix ? { suffix } : {}) };
  await run("v1/completions", body, (more, choice) => {
    text += more;
    sources = choice.sources ?? sources;
    paint(given, text, suffix, sources);
  });
  list(sources);
  last = { given, text, suffix };
  element("accept").disabled = !text;
}

async function chat() {
  const said = element("say").value.trim();
  if (!said) return;
  element("say").value = "";
  conversation.push({ role: "user", content: said });
  bubble("user").textContent = said;
  const answer = bubble("assistant");
  let text = "";
  await run("v1/chat/completions", { ...options(), messages: conversation }, (more, choice) => {
    text += more;
    answer.textContent = text;
    if (choice.sources) list(choice.sources);
  });
  conversation.push({ role: "assistant", content: text });
}

// A picture that was dropped on the page: what a model sees on it, outlined and listed.
async function look(file) {
  if (!seers.length) return notice("no model of this server sees pictures; start it with --model and one that does");
  show("chat");
  notice("");
  try {
    const url = await new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(new Error(`cannot read ${file.name}`));
      reader.readAsDataURL(file);
    });
    const content = [{ type: "image_url", image_url: { url } }];
    const body = { model: seers[0], messages: [{ role: "user", content }], response_format: { type: "json_object" } };
    const answer = await (await call("v1/chat/completions", body)).json();
    const seen = JSON.parse(answer.choices[0].message.content), picture = await createImageBitmap(file);
    const canvas = document.createElement("canvas"), paper = canvas.getContext("2d");
    [canvas.width, canvas.height] = [seen.width, seen.height];
    paper.drawImage(picture, 0, 0, seen.width, seen.height);
    paper.font = "11px sans-serif";
    seen.elements.forEach(({ class: kind, box: [x0, y0, x1, y1] }) => {
      paper.strokeStyle = paper.fillStyle = `hsl(${[...kind].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 360} 80% 40%)`;
      paper.strokeRect(x0 + 0.5, y0 + 0.5, x1 - x0 - 1, y1 - y0 - 1);
      paper.fillText(kind, x0 + 2, Math.max(10, y0 - 2));
    });
    bubble("user").append(canvas);
    bubble("assistant").textContent = `${seen.elements.length} elements, layout ${seen.layout || "unknown"}`;
  } catch (error) {
    notice(error.message);
  }
}

function bubble(role) {
  const item = document.createElement("li");
  item.className = role;
  element("messages").append(item);
  return item;
}

async function propose() {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  notice("");
  busy(true);
  showProposal({});
  element("verified").textContent = "Proposing, and running what was proposed";
  try {
    const name = element("function").value.trim();
    const body = { source: element("code").value, model: element("model").value, ...(name ? { function: name } : {}) };
    showProposal(await (await call(`v1/skills/${element("skill").value}`, body, mine.signal)).json());
  } catch (error) {
    element("verified").textContent = "";
    if (error.name !== "AbortError") notice(error.message);
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

let proposed = null;
function showProposal({ file, diff, after, verified, reason }) {
  proposed = file === "text.py" ? after : null; // tests and translations are files of their own
  const kinds = { "+": "added", "-": "removed", "@": "place" };
  element("diff").replaceChildren(...(diff ?? "").split("\n").slice(2, -1).map((line) => {
    const part = document.createElement("span");
    part.className = kinds[line[0]] ?? "";
    part.textContent = line;
    return part;
  }));
  element("verified").textContent = verified ? `Verified: ${verified}` : reason ? `Nothing to propose: ${reason}` : "";
  element("accept-change").disabled = proposed === null;
}

const skills = new Map();
async function showSkills() {
  try {
    for (const { id, proposes } of (await (await call("v1/skills")).json()).data) skills.set(id, proposes);
    element("skill").replaceChildren(...[...skills.keys()].map((id) => new Option(id, id)));
    element("proposes").textContent = skills.get(element("skill").value);
  } catch { /* the list of models says what is wrong */ }
}

async function showModels() {
  try {
    const { data } = await (await call("v1/models")).json();
    seers = data.filter(({ capabilities }) => capabilities?.includes("vision")).map(({ id }) => id);
    element("drop-hint").hidden = !seers.length;
    element("model").replaceChildren(...data.map(({ id }) => id).filter((id) => !seers.includes(id)).map((id) => new Option(id, id)));
    await showLoaded();
  } catch (error) {
    notice(error.message);
  }
}

async function showLoaded() {
  try {
    const { models } = await (await call("api/ps")).json(), { projects } = await (await call("props")).json();
    const line = (name, about) => {
      const item = document.createElement("li"), more = document.createElement("small");
      item.textContent = name;
      more.textContent = about;
      item.append(more);
      return item;
    };
    element("loaded").replaceChildren(
      ...models.map(({ name, details, size }) =>
        line(name.replace(/:latest$/, ""), `${details.parameter_size} parameters, up to ${Math.round(size / 1e6)} MB`)),
      ...projects.map(({ name, indexed }) => line(name, indexed ? "project, its index follows every save" : "project, being indexed")));
    if (projects.some(({ indexed }) => !indexed)) setTimeout(showLoaded, 1000);
  } catch { /* the next request tells */ }
}

const tabs = ["complete", "chat", "improve"];
function show(name) {
  for (const id of ["sampling", "memory"]) element(id).hidden = name === "improve";
  for (const tab of tabs) {
    element(tab).hidden = tab !== name;
    element(`tab-${tab}`).setAttribute("aria-selected", tab === name);
    element(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
}
for (const tab of tabs) {
  const button = element(`tab-${tab}`);
  button.addEventListener("click", () => show(tab));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs[(tabs.indexOf(tab) + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
    show(other);
    element(`tab-${other}`).focus();
  });
}
for (const name of ["temperature", "top_p"])
  element(name).addEventListener("input", () => { element(`${name}-shown`).textContent = element(name).value; });
element("run").addEventListener("click", complete);
element("send").addEventListener("click", chat);
element("propose").addEventListener("click", propose);
element("skill").addEventListener("change", () => { element("proposes").textContent = skills.get(element("skill").value); });
element("accept-change").addEventListener("click", () => {
  element("code").value = proposed;
  showProposal({});
  element("code").focus();
});
for (const id of ["stop", "stop-chat", "stop-proposal"]) element(id).addEventListener("click", () => running?.abort());
element("accept").addEventListener("click", () => {
  element("prompt").value = last.given + last.text;
  element("accept").disabled = true;
  element("prompt").focus();
});
element("clear").addEventListener("click", () => {
  conversation = [];
  element("messages").replaceChildren();
  element("say").focus();
});
element("key").addEventListener("change", () => { showModels(); showSkills(); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  const file = [...event.dataTransfer.files].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  look(file);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) [complete, chat, propose][tabs.findIndex((tab) => !element(tab).hidden)]();
  if (event.key === "Escape") running?.abort();
});
showModels();
showSkills();
