/** The text as one word of a shell command, whatever is in it (POSIX.1-2017, Shell Command Language, 2.2.2). */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
