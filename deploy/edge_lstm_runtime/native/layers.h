/* The list of layers. A layer is one C file and one line here: its type, its number in a model, the
 * name of its file. */
EL_LAYER(EL_DENSE, 0, dense)
EL_LAYER(EL_LSTM, 1, lstm)
EL_LAYER(EL_GRU, 2, gru)
EL_LAYER(EL_RNN, 3, rnn)
