//! The blocks of `docs/PROXIES.md`.

const PAGE: &str = include_str!("../../../../docs/PROXIES.md");

/// Returns the blocks of a section in this language; those of the beginning of the page if `title` is empty.
pub(crate) fn blocks(title: &str, language: &str) -> Vec<&'static str> {
    let section = match title {
        "" => PAGE,
        _ => PAGE.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}")).1,
    };
    let section = section.split("\n## ").next().unwrap();
    let fence = format!("\n```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0).collect()
}

/// Returns the number of commands of the page.
pub(crate) fn commands() -> usize {
    PAGE.matches("\n```sh\n").count()
}

/// Returns the arguments of the command at the beginning of the page that starts with `program`.
pub(crate) fn arguments(program: &str) -> Vec<&'static str> {
    let command = blocks("", "sh").into_iter().find_map(|block| block.strip_prefix(program));
    words(command.unwrap_or_else(|| panic!("no command {program}"))).collect()
}

/// Returns the only block of a section in this language.
pub(crate) fn block(title: &str, language: &str) -> &'static str {
    let blocks = blocks(title, language);
    assert_eq!(blocks.len(), 1, "blocks of {title} in {language}");
    blocks[0]
}

/// Returns the line of a configuration that changes if the server is below a path, and what it becomes.
pub(crate) fn line_for_a_path(proxy: &str) -> (&'static str, &'static str) {
    let rows = PAGE.split_once("\n## Below a path\n").unwrap().1.lines();
    let row = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).find(|row| row[0] == format!("| {proxy}"));
    let row = row.unwrap_or_else(|| panic!("no row for {proxy}"));
    let code = |cell: &'static str| cell.trim_end_matches(" |").trim_matches('`');
    (code(row[1]), code(row[2]))
}

/// Returns the words of a command, which is the only line of the block.
pub(crate) fn words(command: &'static str) -> impl Iterator<Item = &'static str> {
    assert_eq!(command.lines().count(), 1, "{command}");
    command.split_ascii_whitespace()
}
