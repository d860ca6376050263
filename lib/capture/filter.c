/* SPDX-License-Identifier: BSD-3-Clause */
#include "cap_filter.h"

/* The fields of an instruction's code, as in net/bpf.h. */
#define LD   0x00
#define LDX  0x01
#define ST   0x02
#define STX  0x03
#define ALU  0x04
#define JMP  0x05
#define RET  0x06
#define MISC 0x07

#define W 0x00 /* a word of 4 bytes, */
#define H 0x08 /* 2 bytes, */
#define B 0x10 /* a byte */

#define IMM 0x00
#define ABS 0x20
#define IND 0x40
#define MEM 0x60
#define LEN 0x80
#define MSH 0xa0

#define K 0x00
#define X 0x08
#define A 0x10 /* of RET */

#define ADD 0x00
#define SUB 0x10
#define MUL 0x20
#define DIV 0x30
#define OR  0x40
#define AND 0x50
#define LSH 0x60
#define RSH 0x70
#define NEG 0x80
#define MOD 0x90
#define XOR 0xa0

#define JA   0x00
#define JEQ  0x10
#define JGT  0x20
#define JGE  0x30
#define JSET 0x40

#define TAX 0x00
#define TXA 0x80

#define WORDS 16 /* of memory */

static bool is_known(uint16_t code)
{
	switch (code) {
	case LD | W | ABS:
	case LD | H | ABS:
	case LD | B | ABS:
	case LD | W | IND:
	case LD | H | IND:
	case LD | B | IND:
	case LD | W | LEN:
	case LD | IMM:
	case LD | MEM:
	case LDX | W | LEN:
	case LDX | IMM:
	case LDX | MEM:
	case LDX | B | MSH:
	case ST:
	case STX:
	case ALU | NEG:
	case JMP | JA:
	case RET | K:
	case RET | A:
	case MISC | TAX:
	case MISC | TXA:
		return true;
	default:
		break;
	}
	if ((code & 7) == ALU)
		return (code & ~(uint16_t)X) <= (ALU | XOR) && (code & 0xf0) != NEG;
	if ((code & 7) == JMP)
		return (code & ~(uint16_t)X) <= (JMP | JSET) && (code & 0xf0) != JA;
	return false;
}

/* What is wrong with instruction `i`; NULL: nothing. */
static const char *insn_check(const struct cap_filter *filter, unsigned i)
{
	const struct cap_insn *in = &filter->insns[i];
	unsigned left = filter->n - i - 1; /* instructions behind it */
	unsigned kind = in->code & 7;

	if (!is_known(in->code))
		return "there is no such instruction";
	if (in->code == (JMP | JA) && in->k >= left)
		return "it jumps out of the program";
	if (kind == JMP && in->code != (JMP | JA) && RW_MAX(in->jt, in->jf) >= left)
		return "it jumps out of the program";
	if ((kind == ST || kind == STX || in->code == (LD | MEM) || in->code == (LDX | MEM)) &&
		in->k >= WORDS)
		return "there are 16 words of memory";
	if ((in->code == (ALU | DIV | K) || in->code == (ALU | MOD | K)) && !in->k)
		return "it divides by 0";
	if (!left && kind != RET)
		return "the program does not end with a return";
	return NULL;
}

const char *cap_filter_check(const struct cap_filter *filter, unsigned *at)
{
	const char *wrong = NULL;

	*at = 0;
	if (filter->n > CAP_FILTER_MAX)
		return "the program is too long";
	for (unsigned i = 0; !wrong && i < filter->n; i++) {
		*at = i;
		wrong = insn_check(filter, i);
	}
	return wrong;
}

/* ---- running ---- */

struct state {
	const uint8_t *data;
	uint32_t have, len;
	uint32_t a, x;
	uint32_t mem[WORDS];
	enum cap_verdict stop; /* why a load has failed */
};

/* Load `n` bytes, 1, 2 or 4, at `at`. False: `stop` says why not. */
static inline bool load(struct state *s, uint64_t at, unsigned n, uint32_t *out)
{
	const uint8_t *p = s->data + at;

	if (rw_unlikely(at + n > s->have)) {
		s->stop = at + n > s->len ? CAP_NO : CAP_MORE;
		return false;
	}
	if (n == 1)
		*out = p[0];
	else if (n == 2)
		*out = (uint32_t)p[0] << 8 | p[1];
	else
		*out = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return true;
}

/* LD and LDX. False: the program ends. */
static inline bool run_load(struct state *s, const struct cap_insn *in)
{
	uint32_t v;

	switch (in->code) {
	case LD | W | ABS:
		return load(s, in->k, 4, &s->a);
	case LD | H | ABS:
		return load(s, in->k, 2, &s->a);
	case LD | B | ABS:
		return load(s, in->k, 1, &s->a);
	case LD | W | IND:
		return load(s, (uint64_t)s->x + in->k, 4, &s->a);
	case LD | H | IND:
		return load(s, (uint64_t)s->x + in->k, 2, &s->a);
	case LD | B | IND:
		return load(s, (uint64_t)s->x + in->k, 1, &s->a);
	case LDX | B | MSH:
		if (!load(s, in->k, 1, &v))
			return false;
		s->x = (v & 15) * 4;
		return true;
	case LD | W | LEN:
		s->a = s->len;
		return true;
	case LDX | W | LEN:
		s->x = s->len;
		return true;
	case LD | IMM:
		s->a = in->k;
		return true;
	case LDX | IMM:
		s->x = in->k;
		return true;
	case LD | MEM:
		s->a = s->mem[in->k];
		return true;
	default: /* LDX | MEM */
		s->x = s->mem[in->k];
		return true;
	}
}

/* False: a division by 0, which ends the program. */
static inline bool run_alu(struct state *s, const struct cap_insn *in)
{
	uint32_t v = in->code & X ? s->x : in->k;

	switch (in->code & 0xf0) {
	case ADD:
		s->a += v;
		return true;
	case SUB:
		s->a -= v;
		return true;
	case MUL:
		s->a *= v;
		return true;
	case DIV:
		s->a = v ? s->a / v : 0;
		return v;
	case MOD:
		s->a = v ? s->a % v : 0;
		return v;
	case OR:
		s->a |= v;
		return true;
	case AND:
		s->a &= v;
		return true;
	case XOR:
		s->a ^= v;
		return true;
	case LSH:
		s->a = v < 32 ? s->a << v : 0;
		return true;
	case RSH:
		s->a = v < 32 ? s->a >> v : 0;
		return true;
	default:
		s->a = 0 - s->a;
		return true;
	}
}

/* How many instructions are skipped. */
static inline uint32_t run_jump(const struct state *s, const struct cap_insn *in)
{
	uint32_t v = in->code & X ? s->x : in->k;
	bool is;

	switch (in->code & 0xf0) {
	case JA:
		return in->k;
	case JEQ:
		is = s->a == v;
		break;
	case JGT:
		is = s->a > v;
		break;
	case JGE:
		is = s->a >= v;
		break;
	default:
		is = s->a & v;
		break;
	}
	return is ? in->jt : in->jf;
}

enum cap_verdict cap_filter_run(
	const struct cap_filter *filter, const uint8_t *data, uint32_t have, uint32_t len)
{
	struct state s = {.data = data, .have = RW_MIN(have, len), .len = len, .stop = CAP_NO};

	if (!filter->n)
		return CAP_YES;
	/* cap_filter_check has seen that it ends with a return and that no jump leaves it. */
	for (const struct cap_insn *in = filter->insns;; in++) {
		switch (in->code & 7) {
		case LD:
		case LDX:
			if (!run_load(&s, in))
				return s.stop;
			break;
		case ST:
			s.mem[in->k] = s.a;
			break;
		case STX:
			s.mem[in->k] = s.x;
			break;
		case ALU:
			if (!run_alu(&s, in))
				return CAP_NO;
			break;
		case JMP:
			in += run_jump(&s, in);
			break;
		case RET:
			return (in->code & A ? s.a : in->k) ? CAP_YES : CAP_NO;
		default:
			if (in->code == (MISC | TAX))
				s.x = s.a;
			else
				s.a = s.x;
			break;
		}
	}
}
