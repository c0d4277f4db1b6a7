"use strict";
document.documentElement.classList.add("scripted");
for (const box of document.querySelectorAll(".compare")) {
  const stage = box.querySelector(".stage"), range = stage.querySelector("input"), tags = stage.querySelectorAll("span");
  const images = [0, 1].map(() => stage.insertBefore(new Image(), range));
  const names = ["", ""];
  const cut = () => {
    stage.style.setProperty("--cut", range.value + "%");
    range.setAttribute("aria-valuetext", `${range.value} % ${names[0]}, ${100 - range.value} % ${names[1]}`);
  };
  const choose = () => {
    box.querySelector("input:checked").value.split(" ").forEach((name, i) => {
      const figure = box.parentElement.querySelector("figure." + name), source = figure.querySelector("img");
      images[i].src = source.src;
      images[i].alt = source.alt;
      tags[i].textContent = names[i] = figure.querySelector("b").textContent;
    });
    cut();
  };
  range.addEventListener("input", cut);
  box.addEventListener("change", choose);
  choose();
}
