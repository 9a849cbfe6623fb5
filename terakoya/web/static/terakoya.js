// What the pages do in the browser beside htmx. Everything works without it, but for confirming and copying.
(() => {
  "use strict";
  const root = document.documentElement;
  const year = 365 * 86400;

  const remember = (name, value) => {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${name}=${value}; Path=/; Max-Age=${year}; SameSite=Lax${secure}`;
  };

  const setTheme = (theme) => {
    root.dataset.theme = theme;
    remember("terakoya-theme", theme);
  };

  const isDark = () =>
    root.dataset.theme === "dark" || (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);

  const busy = (form, on) => {
    for (const button of form.querySelectorAll("button:not([type=button])")) {
      button.disabled = on;
      button.toggleAttribute("aria-busy", on);
    }
  };

  const confirmed = (form) => {
    const dialog = document.getElementById("confirm");
    dialog.querySelector("[data-question]").textContent = form.dataset.confirm;
    dialog.querySelector("[value=yes]").textContent = form.dataset.confirmYes || dialog.dataset.yes;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((done) => {
      dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
    });
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method === "dialog") return;
    if (form.dataset.confirm && !form.dataset.sure) {
      event.preventDefault();
      if (await confirmed(form)) {
        form.dataset.sure = "yes";
        form.requestSubmit();
      }
      return;
    }
    if (form.method === "post") setTimeout(() => busy(form, true));
  });

  // Coming back by the browser's "back" shows the page as it was left, buttons switched off.
  addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form").forEach((form) => busy(form, false));
  });

  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-theme-switch], [data-copy]");
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (target?.matches("[data-theme-switch]")) setTheme(isDark() ? "light" : "dark");
    if (target?.matches("[data-copy]")) {
      await navigator.clipboard.writeText(document.getElementById(target.dataset.copy).textContent.trim());
      target.textContent = target.dataset.copied;
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A long list of choices, narrowed by typing.
  document.addEventListener("input", (event) => {
    const list = document.getElementById(event.target.dataset.filters ?? "");
    if (!list) return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const choice of list.children) choice.hidden = !choice.textContent.toLowerCase().includes(wanted);
  });

  // Live parts keep what they show while the hub is away, and say so.
  const lost = (on) => document.body.classList.toggle("lost", on);
  document.addEventListener("htmx:error", () => lost(true));
  document.addEventListener("htmx:response:error", () => lost(true));
  document.addEventListener("htmx:after:swap", () => lost(false));

  const ready = () => {
    document.querySelectorAll("[data-theme-switch]").forEach((button) => (button.hidden = false));
    const automatic = document.querySelector("form[data-auto]");
    if (automatic) automatic.requestSubmit();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})();
