//! Small models that reach many corners of the program.

/// One model a corner, in the text syntax, by name.
pub const TEXTS: &[(&str, &str)] = &[
    (
        "legacy",
        r#"<ir_version: 3, opset_import: ["" : 8]>
        g (float[1, 1, 6, 6] x, float[2, 1, 3, 3] k) => (float[1, 4] y)
        <float[2, 1, 3, 3] k = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, -2, 3, -4, 5, -6, 7, -8, 9},
         float[2] s = {1, 2}, float[2] v = {0.5, 1}, int64[2] shape = {1, 8},
         float[8, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8,
                          1, 2, 3, 4, 5, 6, 7, 8}>
        {
            a = Conv <kernel_shape = [3, 3]> (x, k)
            b = BatchNormalization (a, s, s, s, v)
            c = Relu (b)
            d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
            e = Reshape (d, shape)
            f = MatMul (e, w)
            y = Softmax <axis = 1> (f)
        }"#,
    ),
    (
        "attention",
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 3, 4] x) => (float[N, 3, 4] y)
        <float[4, 4] w = {1, 2, 3, 4, -5, 6, 7, 8, 1, 2, -3, 4, 5, 6, 7, 8}, float[4] s = {1, 2, 3, 4}>
        {
            n = LayerNormalization <axis = -1> (x, s, s)
            q = MatMul (n, w)
            t = Transpose <perm = [0, 2, 1]> (q)
            a = MatMul (q, t)
            p = Softmax <axis = -1> (a)
            m = MatMul (p, n)
            r = Add (m, x)
            e = Erf (r)
            y = Mul (r, e)
        }"#,
    ),
    (
        "control",
        r#"<ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 3] x) => (float[N, 3] y)
        <bool yes = {1}, int64 rounds = {3}>
        {
            a = If (yes) <
                then_branch = t () => (float[N, 3] p) { p = Relu (x) },
                else_branch = e () => (float[N, 3] q) { q = Neg (x) }
            >
            b, z = Loop (rounds, yes, a) <body =
                l (int64 i, bool go, float[N, 3] s) => (bool on, float[N, 3] u, float[N, 3] w) {
                    on = Identity (go)
                    u = Add (s, x)
                    w = Relu (u)
                }>
            c = ReduceSum <keepdims = 0> (z, rounds0)
            rounds0 = Constant <value_ints = [0]> ()
            d, f = Scan <num_scan_inputs = 1, body =
                r (float[N, 3] h, float[N, 3] k) => (float[N, 3] h2, float[N, 3] o) {
                    h2 = Add (h, k)
                    o = Sigmoid (h2)
                }> (c, z)
            y = Add (b, d)
        }"#,
    ),
    (
        "functions",
        r#"<ir_version: 8, opset_import: ["" : 18, "f" : 1]>
        g (float[2, 3] x) => (float[2, 3] y) { a = f.Twice <by = 2.0> (x) y = f.Once (a) }
        <domain: "f", opset_import: ["" : 17, "f" : 1]>
        Twice <by> (a) => (c) { s = Constant <value_float: float = @by> () b = f.Once (a) c = Mul (b, s) }
        <domain: "f", opset_import: ["" : 17]>
        Once (a) => (b) { b = Relu (a) }"#,
    ),
    (
        "quantised",
        r#"<ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 2] x) => (float[N, 3] y)
        <int8[2, 3] w = {1, -2, 3, 4, 5, -6}, float[3] s = {0.5, 0.25, 1}, int8[3] z = {0, 1, 2},
         float one = {0.1}, uint8 zero = {3}>
        {
            f = DequantizeLinear <axis = 1> (w, s, z)
            q = QuantizeLinear (x, one, zero)
            d = DequantizeLinear (q, one, zero)
            m = MatMul (d, f)
            y = Clip (m, low, high)
            low = Constant <value_float = -1.0> ()
            high = Constant <value_float = 6.0> ()
        }"#,
    ),
    (
        "recurrent",
        r#"<ir_version: 8, opset_import: ["" : 14]>
        g (float[4, 2, 3] x) => (float[4, 1, 2, 2] y)
        <float[1, 8, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3},
         float[1, 8, 2] r = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}>
        { y, h, c = LSTM <hidden_size = 2> (x, w, r) }"#,
    ),
    (
        "shapes",
        r#"<ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 2, 4, 4] x) => (float[N, M] y)
        <int64[1] first = {0}, int64[1] rest = {-1}, int64[4] starts = {0, 0, 1, 1},
         int64[4] ends = {9, 9, 3, 9}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1},
         float[4] scales = {1, 1, 2, 2}, int64[2] picks = {1, 0}, int64[3] k = {2, 1, 3}>
        {
            s = Shape (x)
            n = Gather (s, first)
            to = Concat <axis = 0> (n, rest)
            p = Pad (x, pads)
            c = Slice (p, starts, ends)
            u = Resize <mode = "nearest"> (c, "", scales)
            g1 = Gather <axis = 1> (u, picks)
            e = ConstantOfShape (to1)
            to1 = Constant <value_ints = [2, 1]> ()
            t = Tile (e, to1)
            v, i = TopK (g1, rest1)
            rest1 = Constant <value_ints = [2]> ()
            f = Reshape (v, to)
            y = Relu (f)
        }"#,
    ),
    (
        "reductions",
        r#"<ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 3, 4] x) => (float[N, 4] y)
        <int64[1] one = {1}, int64[3] parts = {1, 2, 1}>
        {
            m = ReduceMean <keepdims = 1> (x, one)
            d = Sub (x, m)
            l = ReduceL2 <keepdims = 1> (d, one)
            q = Div (d, l)
            h = ReduceMax <keepdims = 0> (q, one)
            e = Einsum <equation = "nij,nij->nj"> (q, x)
            a, b, c = Split <axis = 1> (e, parts)
            j = Concat <axis = 1> (c, b, a)
            o = CumSum (j, axis)
            axis = Constant <value_int = 1> ()
            y = Add (o, h)
        }"#,
    ),
    (
        "half",
        r#"<ir_version: 8, opset_import: ["" : 18]>
        g (float16[1, 2, 5, 5] x) => (float16[1, 2] y)
        <float16[2, 2, 2, 2] k = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}>
        {
            a = Conv <dilations = [2, 2], pads = [1, 1, 1, 1]> (x, k)
            b = LeakyRelu <alpha = 0.1> (a)
            c = AveragePool <kernel_shape = [2, 2], ceil_mode = 1> (b)
            d = GlobalAveragePool (c)
            y = Flatten (d)
        }"#,
    ),
    (
        "scatter",
        r#"<ir_version: 9, opset_import: ["" : 18, "com.microsoft" : 1]>
        g (float[3, 4] x) => (float[3, 4] y)
        <int64[2, 1] at = {0, 2}, int64[1, 4] rows = {2, 1, 0, 1}, int64[3] depth = {0, 1, 2}>
        {
            g1 = GatherND (x, at)
            e = Exp (g1)
            s = ScatterND <reduction = "add"> (x, at, e)
            n = GatherElements <axis = 0> (s, rows)
            w = ScatterElements <axis = 0> (s, rows, n)
            c = Greater (w, x)
            r = Where (c, w, x)
            t = com.microsoft.Gelu (r)
            z = Trilu (t)
            y = Softplus (z)
        }"#,
    ),
];
