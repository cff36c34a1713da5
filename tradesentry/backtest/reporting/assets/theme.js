"use strict";
(function () {
  var saved = null;
  try { saved = localStorage.getItem("tradesentry-theme"); } catch (error) { saved = null; }
  if (saved === "light" || saved === "dark") document.documentElement.dataset.theme = saved;
})();
