const NAME = "fastglm-tab";

async function held(id) {
  if (!navigator.locks) return true;  // plain http from another machine: duplicates are not told apart
  return new Promise((answer) => {
    navigator.locks
      .request(`${NAME}-${id}`, { signal: AbortSignal.timeout(1000) }, () => {
        answer(true);
        return new Promise(() => {});  // until the document goes
      })
      .catch(() => answer(false));
  });
}

async function identify(fresh) {
  let id = sessionStorage.getItem(NAME);
  if (!id || !(await held(id))) {
    id = fresh;
    await held(id);
  }
  sessionStorage.setItem(NAME, id);
  return id;
}

export default function ({ data, setStateValue }) {
  window.fastglmTab ??= identify(data.fresh);  // once a document, however often this is drawn
  window.fastglmTab.then((id) => setStateValue("id", id));
}
