"use strict";
document.documentElement.classList.add("scripted");
for (const box of document.querySelectorAll(".compare")) {
  const stage = box.querySelector(".stage"), range = stage.querySelector("input"), tags = stage.querySelectorAll("span");
  const sides = box.querySelectorAll("select"), figures = box.parentElement.querySelectorAll(".pictures figure");
  const images = [0, 1].map(() => stage.insertBefore(new Image(), range));
  const cut = () => {
    stage.style.setProperty("--cut", range.value + "%");
    range.setAttribute("aria-valuetext", `${range.value} % ${tags[0].textContent}, ${100 - range.value} % ${tags[1].textContent}`);
  };
  const choose = () => {
    sides.forEach((side, i) => {
      const source = figures[side.value].querySelector("img");
      images[i].src = source.src;
      images[i].alt = source.alt;
      tags[i].textContent = figures[side.value].querySelector("b").textContent;
    });
    cut();
  };
  range.addEventListener("input", cut);
  box.addEventListener("change", choose);
  choose();
}
