/**
 * SupplementFor=: a definition that is joined with another one where the disk lets it. On a new disk
 * nothing is in the way, so it always is, as systemd-repart(8) tries first.
 * @module
 */
import { basename } from "node:path";
import { ConfigError } from "@imgtool/core";
import type { PartitionDefinition } from "./definitions.ts";

const larger = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
const smaller = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);

/**
 * The definitions with each supplement joined into what it names.
 * @throws ConfigError `definition-invalid`
 */
export function mergeSupplements(definitions: readonly PartitionDefinition[]): PartitionDefinition[] {
  const merged = definitions.filter(({ supplementFor }) => supplementFor === undefined);
  const done = new Set<string>();
  for (const definition of definitions) {
    const { supplementFor: name } = definition;
    if (name === undefined) continue;
    const refuse = (message: string): never => {
      throw new ConfigError(`${definition.origin ?? definition.type}: SupplementFor=${name}: ${message}`, {
        code: "definition-invalid",
        data: { origin: definition.origin, target: name },
      });
    };
    const index = merged.findIndex(({ origin }) => origin !== undefined && basename(origin, ".conf") === name);
    const target = merged[index];
    if (target === undefined) return refuse("no definition of that name, or it is a supplement itself");
    if (done.has(name)) refuse("it has a supplement already");
    done.add(name);
    for (const one of [definition, target])
      if (one.copyBlocks !== undefined || (one.encrypt ?? "off") !== "off" || (one.verity ?? "off") !== "off")
        refuse("cannot be combined with CopyBlocks=, Encrypt= or Verity=");
    merged[index] = join(target, definition);
  }
  return merged;
}

function join(target: PartitionDefinition, supplement: PartitionDefinition): PartitionDefinition {
  const lists = ["copyFiles", "excludeFiles", "excludeFilesTarget", "makeDirectories", "subvolumes"] as const;
  const fields = {
    // Its defaults count as well.
    weight: supplement.weight ?? 1000,
    paddingWeight: supplement.paddingWeight ?? 0,
    sizeMin: larger(target.sizeMin, supplement.sizeMin),
    // systemd-repart 257 takes it only where the other definition has one.
    paddingMin: target.paddingMin === undefined ? undefined : larger(target.paddingMin, supplement.paddingMin),
    sizeMax: smaller(target.sizeMax, supplement.sizeMax),
    paddingMax: smaller(target.paddingMax, supplement.paddingMax),
    ...Object.fromEntries(lists.map((list) => [list, [...(target[list] ?? []), ...(supplement[list] ?? [])]])),
  };
  const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return { ...target, ...set };
}
