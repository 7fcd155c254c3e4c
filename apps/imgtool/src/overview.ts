/**
 * `imgtool --help` and `imgtool --version`.
 * @module
 */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { verbs } from "./verbs.ts";

const examples = `
Examples:
  imgtool build && imgtool publish       build the project in this directory, put it into a store
  imgtool -d debian -p nginx -f          build without any file, replacing an earlier output
  imgtool make image.caibx image.raw     cut a file into chunks, as casync does
  imgtool extract --seed=old.raw https://example.org/image.caibx new.raw

Settings are mkosi's; "imgtool build --help" lists their options. Exit codes: docs/exit-codes.md.
`;

/** Prints the list of verbs or the version; returns the exit code. */
export async function overview(argv: readonly string[]): Promise<number> {
  const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  };
  const program = new Command("imgtool")
    .description("Builds Linux OS images from a project directory and publishes them as content-addressed chunks.")
    .version(manifest.version, "--version")
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText("after", examples);
  for (const [name, verb] of Object.entries(verbs)) program.command(name).description(verb.summary);
  await program.parseAsync([...(argv[0] === "help" ? ["--help"] : argv)], { from: "user" });
  return 0;
}
