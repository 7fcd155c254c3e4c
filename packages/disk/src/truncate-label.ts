/** The longest beginning of a label that has at most so many bytes. */
export function truncateLabel(text: string, limit: number): string {
  let whole = "";
  let length = 0;
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > limit) break;
    whole += character;
  }
  return whole;
}
