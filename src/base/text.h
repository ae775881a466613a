/* Texts of unknown origin, as names out of files, made fit for where they are shown. Local. */
#ifndef TG_TEXT_H
#define TG_TEXT_H

#include <stdbool.h>
#include <stdio.h>

/** Makes a text fit for a terminal, in place: a control character, of ASCII or C1 (U+0080..U+009F), becomes '?', and so does a
 *  stray byte 0x80..0x9F, which some terminals take for one. Returns the text.
 *  lines  line breaks stay */
char *tg_text_clean(char *text, bool lines);

/** fprintf for people: what comes out is clean; line breaks stay. Prints nothing where there is no memory. */
void tg_text_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A cell of a CSV file: in quotes where it holds a comma, quotes or line breaks (RFC 4180), and behind a ' where a spreadsheet
 *  would take it for a formula: it begins with = + - @, a tab or a carriage return. */
void tg_text_cell(FILE *out, const char *text);

/** Takes the directories out of the one absolute path that a line may hold, in place: what a study is made from is the same when it was
 *  moved. */
void tg_text_drop_directories(char *text);

#endif
