/* See extension.h. A model and the states of its streams. */
#include "extension.h"

static void net_free(PyObject *self) {
    PyTypeObject *const type = self->ob_type;
    for (int k = 0; k < 2; k++) PyMem_Free(((Net *)self)->memory[k]);
    PyObject_Free(self);
    Py_DecRef((PyObject *)type);
}

static void *allocate(Net *net, int which, size_t bytes) {
    void *const memory = net->memory[which] = PyMem_Malloc(bytes + EL_ALIGNMENT);
    if (memory) return aligned_in(memory);
    (void)PyErr_NoMemory();
    return NULL;
}

static PyObject *fill(Net *net, const el_network *n, const char *kernel, PyObject *weights,
                      PyObject *steps) {
    const module_state *const m = net->m;
    size_t count, step_count, bytes, values;
    el_status status = el_weight_values(n, &count, &step_count);
    if (status != EL_OK) return fail(m, "el_weight_values", status);
    const float *const w = exactly(m, weights, m->float32, READABLE, (Py_ssize_t)count);
    const float *const s =
        steps == Py_None || !w
            ? NULL
            : exactly(m, steps, m->float32, READABLE, (Py_ssize_t)step_count);
    if (!w || (!s && steps != Py_None)) return NULL;
    status = el_model_bytes(n, kernel, &bytes);
    if (status != EL_OK) return fail(m, "el_model_bytes", status);
    if (!(net->model = allocate(net, 0, bytes))) return NULL;
    status = el_model_init(net->model, bytes, n, kernel, w, s);
    if (status != EL_OK) return fail(m, "el_model_init", status);
    net->bytes = (Py_ssize_t)bytes;
    status = el_state_bytes(net->model, (uint32_t)net->streams, &bytes);
    if (status != EL_OK) return fail(m, "el_state_bytes", status);
    if (!(net->state = allocate(net, 1, bytes))) return NULL;
    status = el_state_init(net->state, bytes, net->model, kernel, (uint32_t)net->streams);
    if (status != EL_OK) return fail(m, "el_state_init", status);
    (void)el_state_values(net->model, &values);
    net->inputs = (Py_ssize_t)n->inputs, net->values = (Py_ssize_t)values;
    net->outputs = (Py_ssize_t)n->layer[n->layers - 1].units;
    return (PyObject *)net;
}

static PyObject *net_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    (void)named;
    el_network n = {0, 0, 0, NULL};
    PyObject *layers, *weights, *steps;
    const char *kernel;
    unsigned streams;
    if (!PyArg_ParseTuple(args, "SIIOOzI", &layers, &n.inputs, &n.precision, &weights, &steps,
                          &kernel, &streams) ||
        !read_layers(layers, &n))
        return NULL;
    Net *const net = (Net *)PyType_GenericAlloc(type, 0);
    if (!net) return NULL;
    net->m = PyType_GetModuleState(type), net->streams = (Py_ssize_t)streams;
    if (fill(net, &n, kernel, weights, steps)) return (PyObject *)net;
    Py_DecRef((PyObject *)net);
    return NULL;
}

static PyObject *none(const Net *net, const char *function, el_status status) {
    if (status != EL_OK) return fail(net->m, function, status);
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *net_run(PyObject *self, PyObject *args) {
    Net *const net = (Net *)self;
    const Py_ssize_t in = net->streams * net->inputs, out = net->streams * net->outputs;
    Py_ssize_t size = 0;
    PyObject *xs, *ys;
    if (!PyArg_ParseTuple(args, "OO", &xs, &ys)) return NULL;
    const float *const x = values_of(net->m, xs, net->m->float32, READABLE, &size);
    float *const y =
        x ? exactly(net->m, ys, net->m->float32, WRITABLE, size / in * out) : NULL;
    if (!y) return NULL;
    PyThreadState *const thread = PyEval_SaveThread();
    const el_status status = el_run(net->model, net->state, x, (size_t)(size / in), y);
    PyEval_RestoreThread(thread);
    return none(net, "el_run", status);
}

static PyObject *net_reset(PyObject *self, PyObject *args) {
    Net *const net = (Net *)self;
    unsigned stream;
    if (!PyArg_ParseTuple(args, "I", &stream)) return NULL;
    return none(net, "el_reset", el_reset(net->model, net->state, stream));
}

/* The values of one stream, or of all of them (EL_ALL), are in this array. */
static float *state_of(const Net *net, PyObject *args, int flags, unsigned *stream) {
    PyObject *values;
    if (!PyArg_ParseTuple(args, "IO", stream, &values)) return NULL;
    const Py_ssize_t count = *stream == EL_ALL ? net->streams : 1;
    return exactly(net->m, values, net->m->float32, flags, count * net->values);
}

static PyObject *net_get_state(PyObject *self, PyObject *args) {
    Net *const net = (Net *)self;
    unsigned stream;
    float *const values = state_of(net, args, WRITABLE, &stream);
    if (!values) return NULL;
    return none(net, "el_get_state", el_get_state(net->model, net->state, stream, values));
}

static PyObject *net_set_state(PyObject *self, PyObject *args) {
    Net *const net = (Net *)self;
    unsigned stream;
    const float *const values = state_of(net, args, READABLE, &stream);
    if (!values) return NULL;
    return none(net, "el_set_state", el_set_state(net->model, net->state, stream, values));
}

static PyObject *net_sizes(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_BuildValue("nn", ((Net *)self)->bytes, ((Net *)self)->values);
}

/* The model's bytes, for tests. */
static PyObject *net_model(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)((Net *)self)->model, ((Net *)self)->bytes);
}

static PyMethodDef net_methods[] = {{"run", net_run, METH_VARARGS, NULL},
                                    {"reset", net_reset, METH_VARARGS, NULL},
                                    {"get_state", net_get_state, METH_VARARGS, NULL},
                                    {"set_state", net_set_state, METH_VARARGS, NULL},
                                    {"sizes", net_sizes, METH_NOARGS, NULL},
                                    {"model", net_model, METH_NOARGS, NULL},
                                    {NULL, NULL, 0, NULL}};
static PyType_Slot net_slots[] = {{Py_tp_new, (void *)net_new},
                                  {Py_tp_dealloc, (void *)net_free},
                                  {Py_tp_methods, net_methods},
                                  {0, NULL}};
PyType_Spec net_spec = {"edge_lstm_runtime.native.Net", sizeof(Net), 0, 0, net_slots};
