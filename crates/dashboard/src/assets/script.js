// What pages do by themselves: copy a value, and keep the live sessions up to date. Everything else is forms.

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;

for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const copied = await copy(button.dataset.copy, button);
  button.textContent = copied ? "Copied" : "Select it and copy";
  button.classList.toggle("copied", copied);
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
    // Browsers give the clipboard to pages of this machine and of https only.
  }
  const area = document.createElement("textarea");
  area.className = "unseen";
  area.value = text;
  near.after(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  near.focus();
  return copied;
}

for (const region of document.querySelectorAll("[data-live]")) keepUpToDate(region);

function keepUpToDate(region) {
  const pulse = region.parentElement.querySelector(".pulse");
  let shown = null;
  let timer = null;
  let held = false;

  // A button that is being pressed stays where it is.
  region.addEventListener("pointerdown", () => { held = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { held = false; });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) update();
  });

  say("Updates by itself.", true);
  pulse.hidden = false;
  schedule();

  function schedule() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(update, EVERY_MS);
  }

  async function update() {
    try {
      const answer = await fetch(region.dataset.live, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
      if (answer.status === 403) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text());
      say("Updates by itself.", true);
    } catch {
      say("The server does not answer; trying again.", false);
    }
    schedule();
  }

  function show(text) {
    if (text === shown || held) return;
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    region.innerHTML = text;
    shown = text;
    for (const button of region.querySelectorAll("button[data-copy]")) button.hidden = false;
    if (focused) document.getElementById(focused)?.focus();
  }

  function say(text, isWell) {
    if (pulse.textContent !== text) pulse.textContent = text;
    pulse.classList.toggle("lost", !isWell);
  }
}
