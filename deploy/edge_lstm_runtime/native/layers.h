/* The list of layers. A layer is one C file and one line here: its type, its number in a model, the
 * name of its file. */
EL_LAYER(EL_DENSE, 0, dense)
EL_LAYER(EL_LSTM, 1, lstm)
EL_LAYER(EL_GRU, 2, gru)
EL_LAYER(EL_RNN, 3, rnn)
EL_LAYER(EL_COMBINE, 4, combine)
EL_LAYER(EL_SCALE, 5, scale)
EL_LAYER(EL_PRELU, 6, prelu)
EL_LAYER(EL_LAYER_NORM, 7, layer_norm)
EL_LAYER(EL_SOFTMAX, 8, softmax)
EL_LAYER(EL_CAUSAL_CONV, 9, causal_conv)
EL_LAYER(EL_EMBEDDING, 10, embedding)
