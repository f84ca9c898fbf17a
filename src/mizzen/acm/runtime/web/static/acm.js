"use strict";

// The browser's clock may be wrong; ages are counted by the server's.
const ahead = Number(document.body.dataset.now) * 1000 - Date.now();

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole < 600 ? `${whole % 60} s` : ""}`.trim();
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`.replace(/^1 days/, "1 day");
}

function tick() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll("[data-ago], [data-for]")) {
    const at = Number(time.dataset.ago ?? time.dataset.for) * 1000;
    const text = span((now - at) / 1000);
    const told = "for" in time.dataset ? text : now - at < 1500 ? "just now" : `${text} ago`;
    if (time.textContent !== told) time.textContent = told;
    if (!time.title) time.title = new Date(at).toLocaleString();
  }
}

// What has changed, word by word: a part of the page that names one of the words asks for itself anew.
const panels = () => document.querySelectorAll("[data-live]");
const due = new Set();
let posting = 0;
let timer = 0;

function refresh(words) {
  for (const panel of panels()) {
    const named = panel.dataset.live.split(" ");
    if (!words || named.some((one) => words.includes(one))) due.add(panel.id);
  }
  if (due.size && !timer) timer = setTimeout(flush, 120);
}

function flush() {
  timer = 0;
  if (posting) return;
  for (const id of due) {
    const panel = document.getElementById(id);
    // Nobody wants a text to move away while it is read.
    if (panel && !("calm" in panel.dataset && panel.querySelector("details[open]"))) htmx.trigger(panel, "changed");
  }
  due.clear();
}

const line = document.getElementById("line");
let source = null;
let again = 0;

function listen() {
  clearTimeout(again);
  source?.close();
  source = new EventSource(document.body.dataset.events);
  // From here on nothing is missed; what has changed since the page was made, or while nobody listened, is asked for.
  source.addEventListener("ready", () => {
    line.hidden = true;
    refresh(null);
  });
  source.addEventListener("message", (event) => refresh(event.data.split(" ")));
  source.addEventListener("error", () => {
    line.hidden = false;
    if (source.readyState === EventSource.CLOSED) again = setTimeout(() => { refresh(null); listen(); }, 3000);
  });
}

if (document.body.dataset.events && panels().length) {
  listen();
  // A browser has few connections to one place; a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(again);
      source.close();
    } else {
      listen();
    }
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted) listen();
  });
}

// What a reader has opened stays open, and what he has in his hands stays there.
let opened = [];
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "post") return;
  posting += 1;
  // A part that arrived now would take away what the answer belongs to.
  for (const panel of panels()) {
    htmx.trigger(panel, "htmx:abort");
    due.add(panel.id);
  }
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.requestConfig.verb !== "post") {
    const { status } = event.detail.xhr;
    if (status) line.hidden = status < 500;
    if (status >= 500) setTimeout(() => refresh(null), 3000);
    return;
  }
  posting -= 1;
  if (due.size && !timer) timer = setTimeout(flush, 120);
});
document.addEventListener("htmx:beforeSwap", (event) => {
  opened = [...event.detail.target.querySelectorAll("details[open][id]")].map((details) => details.id);
});
document.addEventListener("htmx:afterSettle", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  opened = [];
  tick();
  say();
  for (const text of document.querySelectorAll("textarea[data-json]")) check(text);
});
document.addEventListener("htmx:sendError", () => { line.hidden = false; });

// A change of state is told to those who do not see it.
let said = "";
function say() {
  const told = document.querySelector("[data-says]")?.dataset.says ?? "";
  if (said && told && told !== said) document.getElementById("announce").textContent = told;
  said = told;
}

// JSON is looked at while it is written.
function check(text) {
  const field = text.closest(".field");
  let note = field.querySelector(".json");
  if (!note) {
    note = document.createElement("span");
    note.className = "help json bad";
    note.setAttribute("role", "status");
    text.after(note);
  }
  let told = "";
  if (text.value.trim()) {
    try {
      JSON.parse(text.value);
    } catch (error) {
      told = `This is no JSON yet: ${error.message}`;
    }
  }
  if (note.textContent !== told) note.textContent = told;
}
document.addEventListener("input", (event) => {
  if (event.target.matches("textarea[data-json]")) check(event.target);
});

// A file that is chosen is shown, so that it can be corrected where it is wrong.
document.addEventListener("change", async (event) => {
  const input = event.target;
  if (!input.matches("input[type=file][data-into]") || !input.files.length) return;
  const [file] = input.files;
  const text = document.getElementById(input.dataset.into);
  if (file.size > 5 * 1024 * 1024) return;
  text.value = await file.text();
  input.value = "";
  const help = document.getElementById(input.getAttribute("aria-describedby"));
  help.textContent = `${file.name} is in the text below.`;
});

// From what is wrong to its line.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-line]");
  const text = document.getElementById("document");
  if (!link || !(text instanceof HTMLTextAreaElement) || !text.value) return;
  event.preventDefault();
  const lines = text.value.split("\n");
  const at = Number(link.dataset.line) - 1;
  const begin = lines.slice(0, at).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(begin, begin + (lines[at] ?? "").length);
  text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, at - 4);
});

tick();
setInterval(tick, 1000);
say();
document.querySelectorAll("textarea[data-json]").forEach(check);
document.querySelector("#notice[role=alert]")?.focus();
