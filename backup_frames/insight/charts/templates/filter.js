for (const form of document.querySelectorAll("form.filter")) {
  form.hidden = false;
  const apply = () => {
    const wanted = [...form.querySelectorAll("[data-filter]")].filter(field => field.value);
    let shown = 0;
    for (const row of document.querySelectorAll(".filtered tbody tr, .project")) {
      row.hidden = !wanted.every(({value, dataset: {filter}}) => filter === "text"
        ? row.textContent.toLowerCase().includes(value.toLowerCase())
        : !(filter in row.dataset) || row.dataset[filter] === value);
      shown += !row.hidden && row.closest(".attention") !== null;
    }
    form.querySelector("output").textContent = wanted.length ? `${shown} shown` : "";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
}
