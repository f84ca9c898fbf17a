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

  function choose(at) {
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
    send.disabled = true;
    status.className = "status";
    status.textContent = "…";
    const began = performance.now();
    try {
      const response = await fetch(requests[chosen].path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: text.value,
      });
      const body = await response.text();
      const took = performance.now() - began;
      status.textContent = `${response.status} ${response.statusText}`.trim() + `, ${took.toFixed(took < 10 ? 1 : 0)} ms`;
      status.classList.add(response.ok ? "good" : "bad");
      answer.textContent = pretty(body);
    } catch (error) {
      status.textContent = "The server cannot be reached.";
      status.classList.add("bad");
      answer.textContent = String(error);
    }
    answer.hidden = false;
    send.disabled = false;
  });

  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
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
