//! Lists in numbered pages, with links to the previous and the next page.

use maud::{Markup, html};

use super::components::with_thousands;
use crate::request::PageRequest;

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paging {
    /// The number of the page; the first page is 0.
    page: usize,
    /// The number of rows of a full page.
    size: usize,
}

impl Paging {
    /// Returns the page that the query of a request names. Without a valid number, that is the first page.
    pub(super) fn of(request: &PageRequest<'_>, size: usize) -> Self {
        let number: usize = request.query.text("page").parse().unwrap_or(1);
        Self { page: number.saturating_sub(1), size }
    }

    /// Returns the number of rows on the pages before this one.
    pub(super) fn skip(self) -> usize {
        self.page.saturating_mul(self.size)
    }

    /// Returns the number of rows up to the end of this page.
    pub(super) fn end(self) -> usize {
        self.skip().saturating_add(self.size)
    }

    /// Returns the page as a value of the query; `None` for the first page.
    pub(super) fn value(self) -> Option<String> {
        (self.page > 0).then(|| (self.page + 1).to_string())
    }

    /// The place of this page in the list, and links to the pages before and after it. Empty if the whole list is on this page.
    pub(super) fn links(
        self,
        request: &PageRequest<'_>,
        path: &str,
        query: &[(&str, &str)],
        total: usize,
    ) -> Markup {
        let link = |page: usize, label: &str, rel: &str| {
            let number = (page + 1).to_string();
            let mut query = query.to_vec();
            query.extend((page > 0).then_some(("page", number.as_str())));
            html! { a.button.small rel=(rel) href=(request.href(path, &query)) { (label) } }
        };
        let last = total.div_ceil(self.size).saturating_sub(1);
        html! {
            @if self.page > 0 || total > self.size {
                nav.pager aria-label="Pages" {
                    @if self.page > 0 { (link(last.min(self.page - 1), "Previous", "prev")) }
                    span { (self.place(total)) }
                    @if self.end() < total { (link(self.page + 1, "Next", "next")) }
                }
            }
        }
    }

    fn place(self, total: usize) -> String {
        let all = with_thousands(total as u64);
        if self.skip() >= total {
            return format!("after the last of {all}");
        }
        let first = with_thousands(self.skip() as u64 + 1);
        let last = with_thousands(self.end().min(total) as u64);
        format!("{first}–{last} of {all}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_which_rows_it_shows() {
        for (page, total, place) in [
            (0, 50, "1–50 of 50"),
            (0, 1_204, "1–50 of 1,204"),
            (24, 1_204, "1,201–1,204 of 1,204"),
            (25, 1_204, "after the last of 1,204"),
            (usize::MAX, 3, "after the last of 3"),
        ] {
            assert_eq!(Paging { page, size: 50 }.place(total), place);
        }
    }
}
