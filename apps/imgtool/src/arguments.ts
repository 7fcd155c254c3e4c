/**
 * Finds the verb among the arguments. As with mkosi, options may stand before the verb
 * (`imgtool -f -d debian build`) and `build` is meant where there is none.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { casyncOptionsWithValue } from "./casync-options.ts";
import { isVerb, type VerbName, verbs } from "./verbs.ts";

export interface SplitArguments {
  /** Undefined where only the overview (--help, --version) is asked for. */
  readonly verb: VerbName | undefined;
  /** Everything but the verb, in order. */
  readonly rest: readonly string[];
}

/** @throws ConfigError `verb-unknown` */
export async function splitVerb(argv: readonly string[]): Promise<SplitArguments> {
  const [first] = argv;
  if (first === undefined) return { verb: "build", rest: [] };
  if (first === "help" && argv[1] !== undefined && isVerb(argv[1])) return { verb: argv[1], rest: ["--help"] };
  if (["--help", "-h", "--version", "help"].includes(first)) return { verb: undefined, rest: argv };
  const position = await firstOperand(argv);
  if (position === undefined) return { verb: "build", rest: argv };
  const name = argv[position] ?? "";
  if (!isVerb(name)) {
    const { nearest: nearestName } = await import("@imgtool/config");
    const nearest = nearestName(name, Object.keys(verbs));
    throw new ConfigError(`unknown verb: ${name}`, {
      code: "verb-unknown",
      hint: nearest === undefined ? "imgtool --help lists the verbs" : `did you mean ${nearest}?`,
    });
  }
  return { verb: name, rest: [...argv.slice(0, position), ...argv.slice(position + 1)] };
}

async function firstOperand(argv: readonly string[]): Promise<number | undefined> {
  if (!(argv[0] ?? "").startsWith("-")) return 0;
  // Only options before the verb need the settings table: which of them take a value.
  const { optionsWithValue } = await import("./settings-options.ts");
  const withValue = new Set([...optionsWithValue(), ...casyncOptionsWithValue]);
  const withOptionalValue = optionsWithValue(true);
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    if (argument === "--") return undefined;
    if (!argument.startsWith("-") || argument === "-") return i;
    if (withValue.has(argument)) i++;
    else if (withOptionalValue.has(argument)) {
      const next = argv[i + 1] ?? "-";
      // A word that is no verb is the value: --verity signed build, and --verity build.
      const hasOperands = argv.slice(i + 2).some((word) => !word.startsWith("-"));
      if (!next.startsWith("-") && !isVerb(next) && hasOperands) i++;
    }
  }
  return undefined;
}
