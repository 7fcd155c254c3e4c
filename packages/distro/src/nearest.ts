/**
 * Names that a mistyped one may have meant.
 * @module
 */
import { distance } from "fastest-levenshtein";

/** Up to `count` of the candidates that differ from `name` by few edits, nearest first. */
export function nearestNames(name: string, candidates: Iterable<string>, count = 3): string[] {
  const limit = Math.max(1, Math.floor(name.length / 3));
  const found: { name: string; edits: number }[] = [];
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const edits = distance(name, candidate);
    if (edits > 0 && edits <= limit) found.push({ name: candidate, edits });
  }
  found.sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1));
  const best = found[0]?.edits ?? 0;
  return found
    .filter((entry) => entry.edits <= Math.max(best + 1, 1))
    .slice(0, count)
    .map((entry) => entry.name);
}
