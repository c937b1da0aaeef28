"use strict";
(() => {
  const UPDATE_MS = 30_000, RELOAD_MS = 300_000, SLACK_MS = 300_000;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  const heading = document.getElementById("heading");
  const said = heading.textContent.toLowerCase();

  const words = (ms) => {
    const minutes = Math.round(Math.abs(ms) / 60_000);
    if (minutes < 1) return "just now";
    const text = minutes < 120 ? `${minutes} min`
      : minutes < 2 * 1440 ? `${Math.round(minutes / 60)} h`
      : `${Math.round(minutes / 1440)} days`;
    return ms < 0 ? `in ${text}` : `${text} ago`;
  };

  const update = () => {
    const now = Date.now();
    all("time").forEach((time) => {
      let ago = time.nextElementSibling;
      if (!ago || !ago.classList.contains("ago")) {
        ago = document.createElement("span");
        ago.className = "ago";
        time.after(" ", ago);
      }
      ago.textContent = `(${words(now - Date.parse(time.dateTime))})`;
    });
    let ahead = 0, over = 0;
    all("article[data-good-until]").forEach((article) => {
      const made = Date.parse(article.dataset.made);
      const isOver = now > Date.parse(article.dataset.goodUntil);
      ahead = Math.max(ahead, made - now);
      over += isOver;
      article.classList.toggle("out-of-date", isOver);
      article.classList.toggle("red", isOver || article.dataset.level === "red");
      article.querySelector(".stale").hidden = !isOver;
      article.querySelector(".age").textContent = words(now - made);
      if (isOver) {
        const mark = article.querySelector("h2 .level");
        mark.className = "level red";
        mark.lastChild.textContent = "out of date";
      }
    });
    if (over) {
      const text = `${over} out of date, ${said}`;
      heading.textContent = text;
      document.title = `${text}: state of the forecasts`;
    }
    const clock = document.getElementById("clock");
    clock.hidden = ahead <= SLACK_MS;
    clock.textContent = `The clock of this device is at least ${words(ahead).replace(" ago", "")} `
      + "behind that of the machine which wrote this page, so ages cannot be told here.";
  };

  all("article").forEach((article) => {
    article.dataset.level = article.classList.contains("red") ? "red" : "";
  });
  update();
  document.addEventListener("visibilitychange", update);
  setInterval(update, UPDATE_MS);
  setTimeout(() => location.reload(), RELOAD_MS);
})();
