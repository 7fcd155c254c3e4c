/**
 * A package as a browser would run it: bundled, and loaded where there is nothing but JavaScript itself
 * and the Web's text codecs.
 * @module
 */
import { createContext, runInContext } from "node:vm";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

/** What bundling made. */
export interface BrowserBundle {
  /** The whole program as one script, without imports. */
  readonly code: string;
  /** Runs the script in a new, empty world and returns what the program exports. */
  load(): unknown;
}

/**
 * Bundles a program of a package's own for browsers.
 * @param program the text of a module; its imports are looked up from `from`
 * @param from the test's `import.meta.url`
 */
export async function bundleForBrowser(program: string, from: string): Promise<BrowserBundle> {
  const entry = `${fileURLToPath(from)}.browser.js`;
  const bundle = await rolldown({
    input: entry,
    platform: "browser",
    resolve: { conditionNames: ["@imgtool/source", "browser", "import", "default"] },
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? program : null),
      },
    ],
  });
  const { output } = await bundle.generate({ format: "iife", name: "bundle" });
  await bundle.close();
  const code = output.map((one) => (one.type === "chunk" ? one.code : "")).join("\n");
  return { code, load: () => runInContext(`${code}\nbundle`, createContext({ TextEncoder, TextDecoder })) };
}

/** What of Node.js a bundle still asks for; empty when it would run in a browser. */
export function traceOfNode(code: string): readonly string[] {
  return [/["']node:[^"']*/, /\brequire\(/, /\bBuffer\./].flatMap((pattern) => pattern.exec(code)?.[0] ?? []);
}
