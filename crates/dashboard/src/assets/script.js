// Copies values, keeps the tables of live sessions up to date, and completes the chat's URL in code to copy. Everything else works
// without the script.

const RELOAD_MS = 2000;
const TIMEOUT_MS = 8000;
/** The URL of the server. Under the path of a proxy, only the browser knows it. */
const SERVER_URL = new URL("..", document.currentScript.src).href.replace(/\/$/, "");

completeUrls(document);

for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const isCopied = await copy(button.dataset.copy, button);
  button.textContent = isCopied ? "Copied" : "Select and copy it";
  button.classList.toggle("copied", isCopied);
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    button.textContent = "Copy";
    button.classList.remove("copied");
  }, 2000);
});

async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers allow this only for pages from this machine or over https.
  }
  const area = document.createElement("textarea");
  area.className = "visually-hidden";
  area.value = text;
  near.after(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  near.focus();
  return isCopied;
}

/** Replaces the URL that the server guessed, in code and in the values of copy buttons. */
function completeUrls(root) {
  for (const part of root.querySelectorAll("[data-guessed-url]")) {
    const complete = (text) => text.replaceAll(part.dataset.guessedUrl, SERVER_URL);
    for (const code of part.querySelectorAll("code")) code.textContent = complete(code.textContent);
    for (const button of part.querySelectorAll("button[data-copy]")) button.dataset.copy = complete(button.dataset.copy);
  }
}

for (const table of document.querySelectorAll("[data-live]")) keepUpToDate(table);

function keepUpToDate(table) {
  const status = table.parentElement.querySelector(".refresh-status");
  let shown = null;
  let timer = null;
  let isPressed = false;

  // The table is not replaced while a button in it is pressed.
  table.addEventListener("pointerdown", () => { isPressed = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { isPressed = false; });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) reload();
  });

  showStatus("Updates automatically.", true);
  status.hidden = false;
  schedule();

  function schedule() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(reload, RELOAD_MS);
  }

  async function reload() {
    try {
      const answer = await fetch(table.dataset.live, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
      if (answer.status === 403) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text());
      showStatus("Updates automatically.", true);
    } catch {
      showStatus("The server does not respond. Retrying.", false);
    }
    schedule();
  }

  function show(html) {
    if (html === shown || isPressed) return;
    const focused = table.contains(document.activeElement) ? document.activeElement.id : "";
    table.innerHTML = html;
    completeUrls(table);
    shown = html;
    for (const button of table.querySelectorAll("button[data-copy]")) button.hidden = false;
    if (focused) document.getElementById(focused)?.focus();
  }

  function showStatus(text, isConnected) {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("failed", !isConnected);
  }
}
