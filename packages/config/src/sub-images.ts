/**
 * Sub-images: each directory or file of mkosi.images/ is an image of its own, that the main image may
 * build upon. Universal settings of the main image hold for all of them, inherited ones can be
 * overridden, and the rest starts anew.
 * @module
 */
import { effective, valueOf } from "./merge.ts";
import { compareText } from "./paths.ts";
import { nearest } from "./problem.ts";
import { readDirectory, readFile } from "./read.ts";
import { findSetting, settings } from "./settings.ts";
import { newState, type State } from "./state.ts";

/** The states of the sub-images that match, and that the main image depends on, dependencies first. */
export function readSubImages(root: string, main: State): State[] {
  const folder = `${root}/mkosi.images`;
  const found = new Map<string, State>();
  for (const entry of [...(main.files.list(folder) ?? [])].sort(compareText)) {
    const path = `${folder}/${entry}`;
    const isFolder = main.files.status(path)?.kind === "directory";
    if (!isFolder && !entry.endsWith(".conf")) continue;
    const name = entry.replace(/\.conf$/, "");
    if (name === "") {
      main.problems.error({ file: path, code: "image-name", message: "a sub-image needs a name before .conf" });
      continue;
    }
    const state = subImageState(name, main);
    if (
      isFolder ? readDirectory(path, state, { profiles: true, local: true, depth: 0 }) : readFile(path, root, state, 0)
    )
      found.set(name, state);
  }
  assignDependencies(main, [...found.keys()]);
  return inOrder(found, main);
}

/** What a sub-image starts from. */
function subImageState(image: string, main: State): State {
  const state = newState({ ...main, image });
  for (const setting of settings) {
    if (setting.scope === undefined || setting.scope === "local") continue;
    const { value, origins } = effective(setting, main);
    const layer = setting.scope === "universal" ? state.commandLine : state.config;
    if (value !== null) layer.set(setting.name, { value, origins });
  }
  passEnvironment(main, state);
  return state;
}

/** Of the main image's variables, those that PassEnvironment= names. */
function passEnvironment(main: State, state: State): void {
  const names = valueOf("PassEnvironment", main);
  const environment = findSetting("Environment");
  if (environment === undefined || !Array.isArray(names)) return;
  const { value, origins } = effective(environment, main);
  if (typeof value !== "object" || value === null) return;
  const passed = Object.entries(value).flatMap(([name, text], index) =>
    names.includes(name) ? [{ name, text, origin: origins[index] ?? {} }] : [],
  );
  state.commandLine.set("Environment", {
    value: Object.fromEntries(passed.map(({ name, text }) => [name, text])),
    origins: passed.map(({ origin }) => origin),
  });
}

/** Without Dependencies= the main image depends on every sub-image that matches. */
function assignDependencies(main: State, names: readonly string[]): void {
  if (main.commandLine.has("Dependencies") || main.config.has("Dependencies")) return;
  main.defaults.set("Dependencies", names);
}

function inOrder(images: ReadonlyMap<string, State>, main: State): State[] {
  const done = new Set<string>();
  const ordered: State[] = [];
  const visit = (state: State, path: readonly string[]): void => {
    const setting = findSetting("Dependencies");
    if (setting === undefined) return;
    const { value, origins } = effective(setting, state);
    for (const [index, name] of (Array.isArray(value) ? value : []).entries()) {
      if (typeof name !== "string" || done.has(name)) continue;
      const origin = origins[index] ?? {};
      const image = images.get(name);
      if (path.includes(name)) {
        main.problems.error({
          ...origin,
          code: "image-cycle",
          message: `Dependencies=: images depend on each other: ${[...path.slice(path.indexOf(name)), name].join(" → ")}`,
        });
      } else if (image === undefined) {
        const near = nearest(name, images.keys());
        main.problems.error({
          ...origin,
          code: "image-unknown",
          message: `Dependencies=: no image named ${name} in mkosi.images/, or its [Match] does not hold`,
          ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
        });
      } else {
        visit(image, [...path, name]);
        if (!done.has(name)) ordered.push(image);
        done.add(name);
      }
    }
  };
  visit(main, []);
  return ordered;
}
