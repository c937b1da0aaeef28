"use strict";
(() => {
  document.documentElement.classList.add("js");
  const byId = (name) => document.getElementById(name);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  const player = byId("player");
  if (player) {
    const play = byId("play"), lead = byId("lead"), readout = byId("readout");
    const cases = all(".case", player);
    const FRAME_MS = 900, LAST_FRAME_MS = 2200;
    let timer = null;

    const current = () => cases.find((entry) => !entry.hidden);
    const show = (step) => {
      const labels = JSON.parse(current().dataset.labels);
      lead.max = labels.length - 1;
      lead.value = Math.min(step, labels.length - 1);
      const label = labels[Number(lead.value)];
      readout.textContent = label;
      lead.setAttribute("aria-valuetext", label);
      all(".plate", current()).forEach((plate) =>
        all("img", plate).forEach((image, index) => { image.hidden = index !== Number(lead.value); }));
    };
    const pause = () => {
      clearTimeout(timer);
      timer = null;
      play.classList.remove("playing");
      play.setAttribute("aria-label", "Play");
    };
    const tick = () => {
      const atEnd = Number(lead.value) >= Number(lead.max);
      timer = setTimeout(() => { show(atEnd ? 0 : Number(lead.value) + 1); tick(); },
        atEnd ? LAST_FRAME_MS : FRAME_MS);
    };
    const start = () => {
      play.classList.add("playing");
      play.setAttribute("aria-label", "Pause");
      tick();
    };

    play.addEventListener("click", () => (timer ? pause() : start()));
    lead.addEventListener("input", () => { pause(); show(Number(lead.value)); });
    all("input[name=case]", player).forEach((choice) => choice.addEventListener("change", () => {
      cases.forEach((entry, index) => { entry.hidden = index !== Number(choice.value); });
      show(Number(lead.value));
    }));
    show(0);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  }

  const copy = byId("copy");
  if (copy) {
    copy.addEventListener("click", async () => {
      const snippet = byId("snippet");
      try {
        await navigator.clipboard.writeText(snippet.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(snippet);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1600);
    });
  }

  all(".curves").forEach((curves) => {
    const legend = all(".legend button", curves), charts = curves.dataset.charts.split(" ");
    const highlight = () => {
      const chosen = legend.filter((entry) => entry.getAttribute("aria-pressed") === "true")
        .flatMap((entry) => charts.map((chart) => `line-${chart}-${entry.dataset.model}`));
      curves.classList.toggle("focused", chosen.length > 0);
      all('[id^="line-"]', curves).forEach((line) =>
        line.classList.toggle("on", chosen.includes(line.id)));
    };
    legend.forEach((entry) => entry.addEventListener("click", () => {
      entry.setAttribute("aria-pressed", entry.getAttribute("aria-pressed") !== "true");
      highlight();
    }));
  });
})();
