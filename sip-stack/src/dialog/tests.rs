//! What a dialog writes, and what it takes for being in order.

use super::*;
use crate::{
    dice::Dice,
    event::{Invite, Target},
    wire::{Message, parse},
};

fn ours() -> Ours {
    Ours {
        advertise: "198.51.100.1:5060".parse().unwrap(),
        advertise_tcp: "198.51.100.1:5062".parse().unwrap(),
        domain: "clavija.test".into(),
        user_agent: "Clavija".into(),
    }
}

fn invite(extra: &str) -> Request {
    let text = format!(
        "INVITE sip:1@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: \"A\" <sip:a@192.0.2.1>;tag=theirs\r\nTo: sip:1@198.51.100.1\r\nCall-ID: c1\r\n\
         CSeq: 7 INVITE\r\nContact: <sip:a@192.0.2.9:5070>\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    match parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("a sample is a request: {other:?}"),
    }
}

fn bye_of(dialog: &mut Dialog) -> String {
    let (ours, mut dice) = (ours(), Dice::new([1; 32]));
    let transport = Transport::Udp;
    let mut desk = Stationery { ours: &ours, dice: &mut dice, transport };
    String::from_utf8(dialog.request(Method::Bye, &mut desk).to_bytes()).unwrap()
}

fn lines<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}: ");
    message.lines().filter_map(|line| line.strip_prefix(prefix.as_str())).collect()
}

#[test]
fn a_request_of_the_called_side_names_both_ends_the_other_way_round() {
    let mut dialog = Dialog::called_by(&invite(""), "ours").unwrap();

    let bye = bye_of(&mut dialog);

    assert!(bye.starts_with("BYE sip:a@192.0.2.9:5070 SIP/2.0\r\n"), "{bye}");
    assert_eq!(lines(&bye, "From"), ["sip:1@198.51.100.1;tag=ours"]);
    assert_eq!(lines(&bye, "To"), ["\"A\" <sip:a@192.0.2.1>;tag=theirs"]);
    assert_eq!(lines(&bye, "CSeq"), ["1 BYE"]);
    assert_eq!(lines(&bye, "Max-Forwards"), ["70"]);
    assert!(lines(&bye, "Contact").is_empty(), "RFC 3261 Table 2");
    assert!(lines(&bye, "Via")[0].starts_with("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK"));
    assert_eq!(dialog.next_hop(), Some(("192.0.2.9:5070".parse().unwrap(), None)));
}

#[test]
fn no_request_line_has_the_header_fields_of_a_contact_or_of_a_strict_router() {
    let mut theirs = invite("");
    theirs.headers.set("Contact", "<sip:a@192.0.2.9?Route=%3Csip:1@192.0.2.66%3E&Subject=x>");
    let bye = bye_of(&mut Dialog::called_by(&theirs, "ours").unwrap());
    assert!(bye.starts_with("BYE sip:a@192.0.2.9 SIP/2.0\r\n"), "{bye}");

    let strict = invite("Record-Route: <sip:192.0.2.30?Subject=x>\r\n");
    let bye = bye_of(&mut Dialog::called_by(&strict, "ours").unwrap());
    assert!(bye.starts_with("BYE sip:192.0.2.30 SIP/2.0\r\n"), "{bye}");
}

#[test]
fn loose_routers_stand_in_route_and_the_first_gets_the_request() {
    let extra = "Record-Route: <sip:192.0.2.20:5062;lr>, <sip:p2.example;lr>\r\n";
    let mut dialog = Dialog::called_by(&invite(extra), "ours").unwrap();

    let bye = bye_of(&mut dialog);

    assert!(bye.starts_with("BYE sip:a@192.0.2.9:5070 "));
    assert_eq!(lines(&bye, "Route"), ["<sip:192.0.2.20:5062;lr>", "<sip:p2.example;lr>"]);
    assert_eq!(dialog.next_hop(), Some(("192.0.2.20:5062".parse().unwrap(), None)));
}

#[test]
fn a_strict_router_stands_in_the_request_uri_and_the_target_at_the_end() {
    let extra = "Record-Route: <sip:192.0.2.20>\r\nRecord-Route: <sip:192.0.2.21;lr>\r\n";
    let mut dialog = Dialog::called_by(&invite(extra), "ours").unwrap();

    let bye = bye_of(&mut dialog);

    assert!(bye.starts_with("BYE sip:192.0.2.20 SIP/2.0\r\n"), "{bye}");
    assert_eq!(lines(&bye, "Route"), ["<sip:192.0.2.21;lr>", "<sip:a@192.0.2.9:5070>"]);
}

#[test]
fn the_calling_side_goes_the_way_backwards_and_counts_on_from_its_invite() {
    let sent = invite("");
    let mut answer = crate::wire::response_to(&sent, 200, Some("theirs"));
    answer.headers.push("Record-Route", "<sip:192.0.2.30;lr>, <sip:192.0.2.31;lr>");
    answer.headers.push("Contact", "<sip:b@192.0.2.40>");
    let mut dialog = Dialog::accepted_by(&sent, &answer, 0).unwrap();

    let bye = bye_of(&mut dialog);

    assert_eq!(lines(&bye, "Route"), ["<sip:192.0.2.31;lr>", "<sip:192.0.2.30;lr>"]);
    assert_eq!(lines(&bye, "CSeq"), ["8 BYE"]);
    assert_eq!(dialog.remote_tag(), "theirs");
}

#[test]
fn an_older_request_is_out_of_order_and_a_newer_one_moves_the_mark() {
    let mut dialog = Dialog::called_by(&invite(""), "ours").unwrap();
    let mut numbered = |number: u32| {
        let mut request = invite("");
        request.headers.set("CSeq", format!("{number} INVITE"));
        dialog.check_order(&request)
    };

    assert_eq!(numbered(9), Ok(()));
    assert_eq!(numbered(8), Err(OutOfOrder));
    assert_eq!(numbered(10), Ok(()));
}

#[test]
fn without_a_contact_there_is_no_dialog() {
    let mut request = invite("");
    request.headers.remove("Contact");

    assert!(Dialog::called_by(&request, "ours").is_none());
}

#[test]
fn a_target_that_is_a_name_or_no_address_at_all_is_no_hop() {
    for contact in ["<sip:a@phone.invalid>", "<sip:a@0.0.0.0>"] {
        let mut request = invite("");
        request.headers.set("Contact", contact);

        assert_eq!(Dialog::called_by(&request, "ours").unwrap().next_hop(), None, "{contact}");
    }
}

#[test]
fn a_new_call_says_who_calls_whom_and_quotes_what_must_be() {
    let call = Invite {
        target: Target {
            uri: "sip:1001@10.0.0.7:5070;ob".into(),
            to: "192.0.2.50:5070".parse().unwrap(),
        },
        trunk: None,
        from_user: "+34600 1".into(),
        from_display: Some("An \"A\" \\ B\r\nEvil: 1".into()),
        to_user: "1001".into(),
        offer: b"v=0".to_vec(),
        max_forwards: 70,
        call_name: Some("call-0000001d".into()),
    };
    let (ours, mut dice) = (ours(), Dice::new([1; 32]));
    let transport = Transport::Udp;
    let mut desk = Stationery { ours: &ours, dice: &mut dice, transport };
    let new = NewCall { invite: &call, call_id: "c9", local_tag: "t9", asks: Asks::default() };

    let text = String::from_utf8(new.request(&mut desk).to_bytes()).unwrap();

    assert!(text.starts_with("INVITE sip:1001@10.0.0.7:5070;ob SIP/2.0\r\n"), "{text}");
    let from = "\"An \\\"A\\\" \\\\ BEvil: 1\" <sip:+34600%201@clavija.test>;tag=t9";
    assert_eq!(lines(&text, "From"), [from]);
    assert_eq!(lines(&text, "To"), ["<sip:1001@10.0.0.7:5070>"]);
    assert_eq!(lines(&text, "X-Clavija-Call"), ["call-0000001d"]);
    assert!(text.ends_with("Content-Length: 3\r\n\r\nv=0"));
    assert!(parse(text.as_bytes()).is_ok());
}
