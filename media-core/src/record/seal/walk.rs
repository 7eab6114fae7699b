//! From a whole file's bytes to what they hold: the reader of a file that fits into memory, and the
//! definition of what other readers say.

use super::{Content, End, Flaw, HEAD_BYTES, HEADER_BYTES, Head, Header, Kind, Place, SealKey};

/// What is known of a file's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing is missing.
    Whole(End),
    /// The end is missing: the process was killed, the power went, or somebody cut it off.
    Cut,
    /// What follows cannot be believed.
    Damaged(Flaw),
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    pub name: String,
    pub content: Content,
    /// Length of the time line up to the last chunk that can be believed.
    pub frames: u64,
    pub told: Told,
}

/// Reads what can be believed, from the beginning on: of every chunk its kind, its count and its
/// text. An error: not even the header can be believed.
pub fn walk(
    file: &[u8],
    master: &SealKey,
    mut hear: impl FnMut(Kind, u32, &[u8]),
) -> Result<Walk, Flaw> {
    let header = Header::parse(file)?;
    let opener = header.unwrap(master)?;
    let mut rest = file.get(HEADER_BYTES..).unwrap_or_default();
    let (mut place, mut before) = (Place::default(), None);
    let told = loop {
        // A power cut leaves zeros where a file had grown and its bytes had not got there.
        if rest.iter().all(|&byte| byte == 0) {
            break Told::Cut;
        }
        let Some((&head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() else {
            break Told::Cut;
        };
        let head = Head::parse(head).filter(|it| header.content.allows(it.kind, before));
        let Some(head) = head else {
            break Told::Damaged(Flaw::Chunk(place));
        };
        let Some(sealed) = behind.get(..head.chunk_bytes() - HEAD_BYTES) else {
            break Told::Cut;
        };
        let mut sealed = sealed.to_vec();
        rest = rest.get(head.chunk_bytes()..).unwrap_or_default();
        match head.kind {
            Kind::End => match opener.end(place, &head, &mut sealed) {
                Ok(end) if rest.is_empty() => break Told::Whole(end),
                Ok(_) => break Told::Damaged(Flaw::BehindEnd),
                Err(flaw) => break Told::Damaged(flaw),
            },
            Kind::Audio | Kind::Silence | Kind::Peaks | Kind::Page => {
                match opener.open(place, &head, &mut sealed) {
                    Ok(text) => hear(head.kind, head.count, text),
                    Err(flaw) => break Told::Damaged(flaw),
                }
            }
        }
        (place, before) = (place.behind(&head), Some(head.kind));
    };
    let Header { name, content, .. } = header;
    Ok(Walk { name, content, frames: place.frame, told })
}
