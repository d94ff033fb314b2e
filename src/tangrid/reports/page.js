for (const slider of document.querySelectorAll(".slider")) {
  for (const image of slider.querySelectorAll("img[data-from]")) {
    image.src = document.getElementById(image.dataset.from).src;
  }
  const range = slider.querySelector("input");
  const move = () => slider.style.setProperty("--split", range.value + "%");
  range.addEventListener("input", move);
  move();
}
for (const chooser of document.querySelectorAll(".chooser")) {
  const slider = chooser.querySelector(".slider");
  const buttons = chooser.querySelectorAll("button[data-left]");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const side of ["left", "right"]) {
        const source = document.getElementById(button.dataset[side]);
        slider.querySelector("img." + side).src = source.src;
      }
      slider.style.setProperty("--ratio", button.dataset.ratio);
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    });
  }
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
