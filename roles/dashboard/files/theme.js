// Runs before the first paint, so that a chosen colour scheme does not flash. A classic script: modules run later.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("nexus-theme");
  } catch {
    // No storage: as the system.
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
