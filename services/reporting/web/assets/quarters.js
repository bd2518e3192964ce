// Quarters below their hour: folded and unfolded by a button, and as they were after every refresh.

const turned = new Map();

function apply(button, open) {
  button.setAttribute('aria-expanded', String(open));
  for (const row of document.querySelectorAll('tr[data-parent]')) {
    if (row.dataset.parent === button.dataset.parent) row.hidden = !open;
  }
}

export function refold() {
  for (const button of document.querySelectorAll('button.unfold')) {
    const open = turned.get(button.dataset.parent);
    if (open !== undefined) apply(button, open);
  }
}

export function listenForFolding() {
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button.unfold');
    if (!button) return;
    const open = button.getAttribute('aria-expanded') !== 'true';
    turned.set(button.dataset.parent, open);
    apply(button, open);
  });
}
