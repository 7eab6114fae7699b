//! One turn of the box: what it has to give, in the order the real shell takes it, held against the
//! promises.

use super::{OUTPUTS_MAX, World};
use crate::{net::Datagram, sip_text::Text};
use control_plane::fact::What;
use media_core::order::Order;

impl World {
    /// Takes from the box what it has to give, in the order the real shell does, and holds it
    /// against the promises.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        let mut outputs = self.write_down();
        let mut left = match self.doomed && outputs > 0 {
            true => self.say_before_it_dies(),
            false => usize::MAX,
        };
        if left == 0 {
            return self.die();
        }
        while let Some(order) = self.exchange.poll_order() {
            outputs += 1;
            self.note(|| format!("order     {order:?}"));
            self.media.handle_order(order, self.now)?;
            if let Order::Bridge { talk, .. } = order {
                let pair = self.media.pairs().find(|pair| pair.talk == talk);
                pair.map_or(Ok(()), |pair| self.model.meet(pair, self.now))?;
            }
        }
        while let Some(transmit) = self.exchange.poll_transmit() {
            outputs += 1;
            left -= 1;
            let text = Text::read(&transmit.bytes)
                .ok_or_else(|| format!("not SIP: {}", transmit.bytes.escape_ascii()))?;
            self.note(|| format!("box -> {} {}", self.name(transmit.to), text.short()));
            self.model.sent(&text, transmit.to, self.now)?;
            let from = self.site.address;
            self.send(Datagram { from, to: transmit.to, bytes: transmit.bytes });
            if left == 0 {
                return self.die();
            }
        }
        outputs += self.drain_facts()?;
        if outputs > OUTPUTS_MAX {
            return Err(format!("one input brought {outputs} outputs"));
        }
        self.check_now()
    }

    fn drain_facts(&mut self) -> Result<usize, String> {
        let mut outputs = 0;
        while let Some(fact) = self.exchange.poll_fact() {
            outputs += 1;
            self.note(|| match &fact.what {
                What::Call(call, step) => format!("decided   {call} {step:?}"),
                What::Claim(result) => format!("claim     {result:?}"),
                What::Hours(hours, verdict) => format!("hours     {hours:?} {verdict:?}"),
                What::Plan(plan) => format!("plan      {} agents", plan.seats.len()),
                What::Seat(seat, view) => {
                    format!("seat      {} {:?} {:?}", seat.0, view.state, view.reason)
                }
            });
            self.reached.count(&fact);
            self.model.closed = self.is_closed();
            self.model.fact(&fact, self.now)?;
            self.check_given_up(&fact)?;
        }
        while let Some(cdr) = self.exchange.poll_cdr() {
            outputs += 1;
            self.model.cdr(&cdr)?;
            self.check_lost_caller(&cdr)?;
            self.cdrs.push((cdr, self.now));
        }
        Ok(outputs)
    }
}
