/**
 * `imgtool documentation`: the reference of all settings, from the table that everything else derives from.
 * @module
 */
import { settingsReference, settingsSchema } from "@imgtool/config";
import type { Command } from "commander";
import { runVerb, verbCommand } from "../verb.ts";

interface DocumentationOptions {
  readonly jsonSchema?: boolean;
}

export function command(): Command {
  const documentation = verbCommand("documentation", "Print the reference of all settings, in Markdown.").option(
    "--json-schema",
    "print a JSON schema of what summary --json prints",
  );
  return documentation.action(() =>
    runVerb(documentation, async ({ reporter }) => {
      if (documentation.opts<DocumentationOptions>().jsonSchema === true)
        reporter.result({ schema: settingsSchema() }, JSON.stringify(settingsSchema(), undefined, 2));
      else reporter.result({ text: settingsReference() }, settingsReference().trimEnd());
    }),
  );
}
