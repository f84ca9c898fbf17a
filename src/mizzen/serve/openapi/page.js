"use strict";

for (const form of document.querySelectorAll("form.try")) {
  const requests = JSON.parse(form.dataset.requests);
  const text = form.querySelector("textarea");
  const where = form.querySelector(".where");
  const status = form.querySelector(".status");
  const answer = form.querySelector("pre");
  const send = form.querySelector(".send");
  const tabs = [...form.querySelectorAll(".tabs button")];
  const drafts = requests.map((request) => request.body);
  let chosen = 0;
  let asking = null;

  function choose(at) {
    asking?.abort();
    drafts[chosen] = text.value;
    chosen = at;
    status.textContent = "";
    answer.hidden = true;
    text.value = drafts[at];
    where.textContent = "POST /" + requests[at].path;
    tabs.forEach((tab, number) => tab.setAttribute("aria-selected", String(number === at)));
  }

  tabs.forEach((tab, at) => tab.addEventListener("click", () => choose(at)));

  form.querySelector(".copy").addEventListener("click", async (event) => {
    const quoted = "'" + text.value.replaceAll("'", "'\\''") + "'";
    const url = new URL(requests[chosen].path, location.href).href;
    const command = `curl -s '${url}' -H 'content-type: application/json' -d ${quoted}`;
    try {
      await navigator.clipboard.writeText(command);
      event.target.textContent = "Copied";
    } catch {
      answer.hidden = false;
      answer.textContent = command;
    }
    setTimeout(() => { event.target.textContent = "Copy as curl"; }, 1500);
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asking) {
      asking.abort();
      return;
    }
    const mine = asking = new AbortController();
    send.textContent = "Stop";
    status.className = "status";
    status.textContent = "…";
    const began = performance.now();
    const tell = (response, more) => {
      const took = performance.now() - began;
      const parts = [`${response.status} ${response.statusText}`.trim(), ...more, `${took.toFixed(took < 10 ? 1 : 0)} ms`];
      status.textContent = parts.join(", ");
    };
    try {
      const response = await fetch(requests[chosen].path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: text.value,
        signal: mine.signal,
      });
      let good = response.ok;
      if ((response.headers.get("content-type") || "").startsWith("text/event-stream")) {
        answer.textContent = "";
        answer.hidden = false;
        const told = new Told();
        for await (const event of events(response.body)) {
          told.take(event);
          answer.textContent = told.text;
          answer.scrollTop = answer.scrollHeight;
        }
        good &&= told.complete;
        tell(response, [`${told.count} events`, ...(told.complete ? [] : ["broken off"])]);
      } else {
        const body = await response.text();
        tell(response, []);
        answer.textContent = pretty(body);
        answer.hidden = false;
      }
      status.classList.add(good ? "good" : "bad");
    } catch (error) {
      if (!mine.signal.aborted) {
        status.textContent = "The server cannot be reached.";
        status.classList.add("bad");
        answer.textContent = String(error);
        answer.hidden = false;
      } else if (status.textContent) {  // another tab has none
        status.textContent = "Stopped";
      }
    }
    asking = null;
    send.textContent = "Send";
  });

  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !asking) form.requestSubmit();
  });
}

// The data of server-sent events, one by one as they come.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const found = (rest + piece.value).split(/\r?\n\r?\n/);
    rest = found.pop();
    for (const event of found) {
      const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
  }
}

// What a stream has said so far: the texts of its answers, and whatever is none as it is.
class Told {
  constructor() {
    this.count = 0;
    this.complete = false;
    this.answers = [];
    this.others = [];
  }

  take(data) {
    if (data === "[DONE]") {
      this.complete = true;
      return;
    }
    this.count += 1;
    let choices;
    try {
      choices = JSON.parse(data).choices;
    } catch {
      choices = undefined;
    }
    if (!Array.isArray(choices) || choices.length === 0) this.others.push(pretty(data));
    else {
      for (const one of choices) {
        this.answers[one.index] = (this.answers[one.index] ?? "") + (one.delta?.content ?? one.text ?? "");
      }
    }
  }

  get text() {
    return [...this.answers, ...this.others].join("\n\n");
  }
}

function pretty(body) {
  try {
    const text = JSON.stringify(JSON.parse(body), null, 2);
    // Rows of numbers read better on one line.
    return text.replace(/\[\s+([^[\]{}"]{1,200}?)\s+\]/g, (_, inner) => "[" + inner.replace(/\s+/g, " ") + "]");
  } catch {
    return body;
  }
}
