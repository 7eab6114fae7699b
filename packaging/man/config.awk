# Makes clavija.toml(5) of docs/config.md: headings, paragraphs, code blocks and the tables of keys.
function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    while (match(text, /`[^`]*`/))
        text = substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART + 1, RLENGTH - 2) "\\fR" substr(text, RSTART + RLENGTH)
    # [words](page) is words.
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        link = substr(text, RSTART, RLENGTH)
        sub(/^\[/, "", link)
        sub(/\]\(.*/, "", link)
        text = substr(text, 1, RSTART - 1) link substr(text, RSTART + RLENGTH)
    }
    if (text ~ /^[.']/) text = "\\&" text
    return text
}
BEGIN {
    print ".TH CLAVIJA.TOML 5 \"\" \"clavija " version "\" \"File formats\""
    print ".SH NAME\nclavija.toml \\- configuration of clavija, in node.toml and site.toml\n.SH DESCRIPTION"
}
/^```/ { code = !code; print code ? ".PP\n.nf" : ".fi"; next }
code { print roff($0); next }
# That file is of the sources, not of the package.
/^`firmware-config\// { getline; next }
/^# / || /^\|[-|: ]+\|$/ { next }
/^#+ / { sub(/^#+ /, ""); print ".SH " toupper(roff($0)); next }
/^\| Key \|/ { next }
/^\|/ {
    line = $0
    # A bar inside code is no border.
    gsub(/\\\|/, "\001", line)
    gsub(/^\| *| *\|$/, "", line)
    split(line, cell, / *\| */)
    gsub(/\001/, "|", cell[1]); gsub(/\001/, "|", cell[2]); gsub(/\001/, "|", cell[3])
    print ".TP\n" roff(cell[1])
    if (cell[3] != "") print roff(cell[3]) "."
    print "Default: " roff(cell[2]) "."
    next
}
/^$/ { print ".PP"; next }
{ print roff($0) }
END {
    print ".SH FILES\n.TP\n/etc/clavija/node.toml, /etc/clavija/site.toml\nwhat the packaged service reads."
    print ".SH SEE ALSO\nclavija(1)"
}
