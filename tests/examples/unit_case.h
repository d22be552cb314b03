static void unit_forward(bag *b) { example_ops_of(b->ops)->unit(&b->exec, V(b, "y"), V(b, "inv"), V(b, "x")); }
static void unit_backward(bag *b) { example_ops_of(b->ops)->unit_back(&b->exec, D(b, "x"), D(b, "y"), V(b, "y"), V(b, "inv")); }

static const op_case unit_case = {"unit", {{"x", SEEN, 21, 0, 0}, {"y", RESULT, 21, 0, 0}, {"inv", KEPT, 1, 0, 0}}, unit_forward, unit_backward, 0};
