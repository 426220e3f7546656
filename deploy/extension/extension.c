/* The kernel as a Python module, by the stable ABI: one file for Python 3.10 and all later ones.
 *
 * A Net is a model and the states of its streams. A Step is a way to call it, from Python's numbers
 * to an array. What a Step does not know goes on to `otherwise`, a function of Python, which answers
 * or raises. So the fast way has no rules and messages of its own. _kernel.pyi has the types.
 */
#include "edge_lstm.h"
#include "python_abi.h"

#include <string.h>

/* ndarray, the type of its values, axes, their lengths; no strides, memory, flags and template */
typedef PyObject *new_array(PyObject *, PyObject *, int, const Py_ssize_t *, const Py_ssize_t *,
                            void *, int, PyObject *);

/* What lives as long as the process, as NumPy does. */
typedef struct {
    new_array *new_array;
    PyObject *array, *float32, *float64, *error, *net;
} module_state;

enum { READABLE = EL_CONTIGUOUS | EL_ALIGNED, WRITABLE = READABLE | EL_WRITEABLE };

static PyObject *fail(const module_state *m, const char *function, el_status status) {
    return PyErr_Format(m->error,
                        "%s of the native library answered %s; arguments: see native/edge_lstm.h",
                        function, el_status_name(status));
}

static int is_array(const module_state *m, const PyObject *object) {
    return (const PyObject *)object->ob_type == m->array;
}

/* The values of an array that lies in memory as C has it. *size: how many. NULL with a TypeError
 * for anything else. */
static void *values_of(const module_state *m, PyObject *object, const PyObject *descr, int flags,
                       Py_ssize_t *size) {
    const el_array *const a = (const el_array *)object;
    if (!is_array(m, object) || a->descr != descr || (a->flags & flags) != flags) {
        (void)PyErr_Format(PyExc_TypeError, "expected a contiguous array of another type");
        return NULL;
    }
    *size = 1;
    for (int k = 0; k < a->nd; k++) *size *= a->dimensions[k];
    return a->data;
}

/* The same for an array of so many values. */
static void *exactly(const module_state *m, PyObject *object, const PyObject *descr, int flags,
                     Py_ssize_t expected) {
    Py_ssize_t size = 0;
    void *const values = values_of(m, object, descr, flags, &size);
    if (!values || size == expected) return values;
    (void)PyErr_Format(PyExc_TypeError, "array has %zd values, expected %zd", size, expected);
    return NULL;
}

/* ---- Net ------------------------------------------------------------------------------------- */

typedef struct {
    PyObject head;
    const module_state *m;
    void *memory[2]; /* that the model and the state lie in */
    el_model *model;
    el_state *state;
    Py_ssize_t bytes, streams, inputs, outputs, values; /* bytes: of the model */
} Net;

static void net_free(PyObject *self) {
    PyTypeObject *const type = self->ob_type;
    for (int k = 0; k < 2; k++) PyMem_Free(((Net *)self)->memory[k]);
    PyObject_Free(self);
    Py_DecRef((PyObject *)type);
}

/* layers: a bytes object of el_layer. */
static int read_layers(PyObject *layers, el_network *network) {
    const Py_ssize_t bytes = PyBytes_Size(layers);
    network->layers = (uint32_t)((size_t)bytes / sizeof(el_layer));
    network->layer = (const el_layer *)(const void *)PyBytes_AsString(layers);
    if (network->layers * sizeof(el_layer) == (size_t)bytes) return 1;
    (void)PyErr_Format(PyExc_TypeError, "%zd bytes are no layers", bytes);
    return 0;
}

static void *allocate(Net *net, int which, size_t bytes) {
    char *const memory = net->memory[which] = PyMem_Malloc(bytes + EL_ALIGNMENT);
    if (memory) return memory + (-(uintptr_t)memory & (EL_ALIGNMENT - 1));
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
static PyType_Spec net_spec = {"edge_lstm_runtime.native.Net", sizeof(Net), 0, 0, net_slots};

/* ---- Step ------------------------------------------------------------------------------------ */

enum { NET, OTHERWISE, OWNER, LAST, PROCESSING, OBJECTS };

typedef struct {
    PyObject head;
    const module_state *m;
    PyObject *object[OBJECTS]; /* whose memory is used; NULL: there is none */
    const char *owner;         /* 8 bytes: the only thread that may call it. NULL: any */
    double *sample, *last;
    el_processing processing; /* without mean: x are features, in float32 */
    int nd, release;          /* of x and y; whether other threads run during a step */
    Py_ssize_t width, y_shape[2];
} Step;

static const Net *net_in(const Step *s) { return (const Net *)s->object[NET]; }

static int step_traverse(PyObject *self, visitproc visit, void *with) {
    PyObject **const object = ((Step *)self)->object;
    int found = visit((PyObject *)self->ob_type, with);
    for (int k = 0; k < OBJECTS && !found; k++) found = object[k] ? visit(object[k], with) : 0;
    return found;
}

/* Only this can be part of a cycle. The others own memory that a call uses. */
static int step_clear(PyObject *self) {
    PyObject *const otherwise = ((Step *)self)->object[OTHERWISE];
    ((Step *)self)->object[OTHERWISE] = NULL;
    if (otherwise) Py_DecRef(otherwise);
    return 0;
}

static void step_free(PyObject *self) {
    PyTypeObject *const type = self->ob_type;
    PyObject_GC_UnTrack(self);
    for (int k = 0; k < OBJECTS; k++)
        if (((Step *)self)->object[k]) Py_DecRef(((Step *)self)->object[k]);
    PyMem_Free(((Step *)self)->sample);
    PyObject_GC_Del(self);
    Py_DecRef((PyObject *)type);
}

/* processing: (missing, mean, std, offset, scale, residual), the last three perhaps None. */
static int read_processing(Step *s, PyObject *processing) {
    const module_state *const m = s->m;
    const Net *const net = net_in(s);
    el_processing *const p = &s->processing;
    PyObject *mean, *std, *offset, *scale, *residual;
    if (!PyArg_ParseTuple(processing, "IOOOOO", &p->missing, &mean, &std, &offset, &scale,
                          &residual))
        return 0;
    if (!(p->mean = values_of(m, mean, m->float64, READABLE, &s->width)) || !s->width ||
        !(p->std = exactly(m, std, m->float64, READABLE, s->width)))
        return 0;
    p->channels = (uint32_t)s->width;
    if (scale != Py_None &&
        (!(p->scale = exactly(m, scale, m->float64, READABLE, net->outputs)) ||
         !(p->offset = exactly(m, offset, m->float64, READABLE, net->outputs))))
        return 0;
    if (residual != Py_None) {
        if (PyBytes_Size(residual) != net->outputs * (Py_ssize_t)sizeof(uint32_t)) return 0;
        p->residual = (const uint32_t *)(const void *)PyBytes_AsString(residual);
    }
    const Py_ssize_t size = net->streams * s->width;
    s->last = exactly(m, s->object[LAST], m->float64, WRITABLE, size);
    s->sample = s->last ? PyMem_Malloc(sizeof(double) * (size_t)size) : NULL;
    return s->sample != NULL;
}

/* (net, otherwise, release, batched, owner, last, processing) */
static PyObject *step_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    (void)named;
    const module_state *const m = PyType_GetModuleState(type);
    PyObject *given[OBJECTS];
    int release, batched;
    if (!PyArg_ParseTuple(args, "O!OppOOO", m->net, &given[NET], &given[OTHERWISE], &release,
                          &batched, &given[OWNER], &given[LAST], &given[PROCESSING]))
        return NULL;
    Step *const s = (Step *)PyType_GenericAlloc(type, 0);
    if (!s) return NULL;
    for (int k = 0; k < OBJECTS; k++)
        if (given[k] != Py_None) Py_IncRef(s->object[k] = given[k]);
    const Net *const net = net_in(s);
    s->m = m, s->release = release, s->nd = batched ? 2 : 1;
    s->y_shape[0] = net->streams, s->y_shape[s->nd - 1] = net->outputs;
    s->width = net->inputs;
    const int owned = s->object[OWNER] != NULL, processed = s->object[PROCESSING] != NULL;
    if ((batched || net->streams == 1) &&
        (!owned || (s->owner = exactly(m, given[OWNER], m->float64, READABLE, 1))) &&
        (!processed || read_processing(s, given[PROCESSING])))
        return (PyObject *)s;
    if (!PyErr_Occurred()) (void)PyErr_Format(PyExc_TypeError, "these do not go together");
    Py_DecRef((PyObject *)s);
    return NULL;
}

/* Numbers in a list or a tuple, if they are floats or integers of 64 bits. */
static const double *listed(Step *s, PyObject *x) {
    const int list = x->ob_type == &PyList_Type;
    if (s->nd != 1 || (!list && x->ob_type != &PyTuple_Type) ||
        (list ? PyList_Size(x) : PyTuple_Size(x)) != s->width)
        return NULL;
    for (Py_ssize_t k = 0; k < s->width; k++) {
        PyObject *const number = list ? PyList_GetItem(x, k) : PyTuple_GetItem(x, k);
        int overflow = 0;
        if (number->ob_type == &PyFloat_Type) s->sample[k] = PyFloat_AsDouble(number);
        else if (number->ob_type == &PyLong_Type)
            s->sample[k] = (double)PyLong_AsLongLongAndOverflow(number, &overflow);
        else return NULL;
        if (overflow) return NULL;
    }
    return s->sample;
}

/* An array of either type, with any strides. */
static const double *gathered(Step *s, const el_array *x) {
    const int wide = x->descr == s->m->float64;
    if (!wide && x->descr != s->m->float32) return NULL;
    const Py_ssize_t rows = s->nd == 2 ? x->dimensions[0] : 1, stride = x->strides[s->nd - 1];
    double *to = s->sample;
    for (Py_ssize_t k = 0; k < rows; k++) {
        const char *from = x->data + (s->nd == 2 ? k * x->strides[0] : 0);
        for (Py_ssize_t j = 0; j < s->width; j++, from += stride, to++) {
            float narrow;
            if (wide) memcpy(to, from, sizeof *to);
            else memcpy(&narrow, from, sizeof narrow), *to = (double)narrow;
        }
    }
    return s->sample;
}

/* The numbers of a sample or of features. NULL: they are of a kind that is not known here. */
static const void *numbers_in(Step *s, PyObject *x) {
    const int raw = s->processing.mean != NULL;
    if (!is_array(s->m, x)) return raw ? listed(s, x) : NULL;
    const el_array *const a = (const el_array *)x;
    if (a->nd != s->nd || a->dimensions[a->nd - 1] != s->width ||
        (a->nd == 2 && a->dimensions[0] != s->y_shape[0]))
        return NULL;
    if ((a->flags & READABLE) == READABLE && a->descr == (raw ? s->m->float64 : s->m->float32))
        return a->data;
    return raw ? gathered(s, a) : NULL;
}

static int takes_answer(const Step *s, const PyObject *out) {
    const el_array *const a = (const el_array *)out;
    return is_array(s->m, out) && a->descr == s->m->float32 && (a->flags & WRITABLE) == WRITABLE &&
           a->nd == s->nd && a->dimensions[0] == s->y_shape[0] &&
           a->dimensions[s->nd - 1] == s->y_shape[s->nd - 1];
}

static el_status advance(Step *s, const void *x, float *y) {
    const Net *const net = net_in(s);
    return s->processing.mean
               ? el_answer(&s->processing, net->model, net->state, x, s->last, y)
               : el_run(net->model, net->state, x, 1, y);
}

/* The answer of the fast way, a new reference. NULL without an error: it has none. */
static PyObject *fast(Step *s, PyObject *sample, PyObject *out) {
    if (s->owner) {
        uint64_t owner;
        memcpy(&owner, s->owner, sizeof owner);
        if (owner != PyThread_get_thread_ident()) return NULL;
    }
    const void *const x = numbers_in(s, sample);
    if (!x || (out && !takes_answer(s, out))) return NULL;
    if (out) Py_IncRef(out);
    else {
        Py_IncRef(s->m->float32); /* NumPy takes it */
        out = s->m->new_array(s->m->array, s->m->float32, s->nd, s->y_shape, NULL, NULL, 0, NULL);
        if (!out) return NULL;
    }
    float *const y = (float *)(void *)((el_array *)out)->data;
    PyThreadState *const thread = s->release ? PyEval_SaveThread() : NULL;
    const el_status status = advance(s, x, y);
    if (thread) PyEval_RestoreThread(thread);
    if (status == EL_OK) return out;
    Py_DecRef(out);
    return NULL;
}

/* Call `otherwise` with the same arguments. */
static PyObject *pass_on(const Step *s, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *const otherwise = s->object[OTHERWISE];
    PyObject *const given = PyTuple_New(count), *const keywords = named ? PyDict_New() : NULL;
    PyObject *answer = NULL;
    int good = given && (!named || keywords);
    for (Py_ssize_t k = 0; good && k < count; k++) {
        Py_IncRef(args[k]);
        good = !PyTuple_SetItem(given, k, args[k]);
    }
    for (Py_ssize_t k = 0; good && k < named; k++)
        good = !PyDict_SetItem(keywords, PyTuple_GetItem(names, k), args[count + k]);
    if (good) answer = PyObject_Call(otherwise, given, keywords);
    if (given) Py_DecRef(given);
    if (keywords) Py_DecRef(keywords);
    return answer;
}

static PyObject *step_call(PyObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    Step *const s = (Step *)self;
    PyObject *answer = NULL;
    if (count == 1 && (!names || (PyTuple_Size(names) == 1 &&
                                  !PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "out"))))
        answer = fast(s, args[0], names && args[1] != Py_None ? args[1] : NULL);
    if (answer || PyErr_Occurred()) return answer;
    if (s->object[OTHERWISE]) return pass_on(s, args, count, names);
    Py_IncRef(Py_None);
    return Py_None;
}

/* (samples, answers) -> how many rows are done */
static PyObject *step_rows(PyObject *self, PyObject *args) {
    Step *const s = (Step *)self;
    const Net *const net = net_in(s);
    const Py_ssize_t in = net->streams * s->width, out = net->streams * net->outputs;
    Py_ssize_t size = 0;
    size_t done = 0;
    PyObject *xs, *ys;
    if (!s->processing.mean || !PyArg_ParseTuple(args, "OO", &xs, &ys)) return NULL;
    const double *const x = values_of(s->m, xs, s->m->float64, READABLE, &size);
    float *const y = x ? exactly(s->m, ys, s->m->float32, WRITABLE, size / in * out) : NULL;
    if (!y) return NULL;
    const el_bound bound = {net->model, net->state, NULL, &s->processing, s->last};
    PyThreadState *const thread = PyEval_SaveThread();
    (void)el_answer_rows(&bound, x, (size_t)(size / in), y, &done); /* a refused row ends it */
    PyEval_RestoreThread(thread);
    return PyLong_FromSsize_t((Py_ssize_t)done);
}

static PyMethodDef step_methods[] = {
    {"step", (PyCFunction)(void (*)(void))step_call, METH_FASTCALL | METH_KEYWORDS,
     "step($self, x, *, out=None)\n--\n\nSee Session.step, which this is, only faster."},
    {"rows", step_rows, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyType_Slot step_slots[] = {{Py_tp_new, (void *)step_new},
                                   {Py_tp_dealloc, (void *)step_free},
                                   {Py_tp_traverse, (void *)step_traverse},
                                   {Py_tp_clear, (void *)step_clear},
                                   {Py_tp_methods, step_methods},
                                   {0, NULL}};
static PyType_Spec step_spec = {"edge_lstm_runtime.native.Step", sizeof(Step), 0,
                                Py_TPFLAGS_HAVE_GC, step_slots};

/* ---- The module ------------------------------------------------------------------------------ */

static PyObject *kernel_name(PyObject *self, PyObject *args) {
    unsigned index;
    (void)self;
    return PyArg_ParseTuple(args, "I", &index) ? Py_BuildValue("z", el_kernel_name(index)) : NULL;
}

/* (layers, inputs, precision) -> the numbers of weights and of steps */
static PyObject *weight_values(PyObject *self, PyObject *args) {
    el_network n = {0, 0, 0, NULL};
    size_t weights, steps;
    PyObject *layers;
    if (!PyArg_ParseTuple(args, "SII", &layers, &n.inputs, &n.precision) ||
        !read_layers(layers, &n))
        return NULL;
    const el_status status = el_weight_values(&n, &weights, &steps);
    if (status != EL_OK) return fail(PyModule_GetState(self), "el_weight_values", status);
    return Py_BuildValue("nn", (Py_ssize_t)weights, (Py_ssize_t)steps);
}

static PyObject *attribute(const char *module, const char *name) {
    PyObject *const found = PyImport_ImportModule(module);
    PyObject *const value = found ? PyObject_GetAttrString(found, name) : NULL;
    if (found) Py_DecRef(found);
    return value;
}

/* NumPy's table of functions. It stays as long as the process. */
static int read_numpy(module_state *m) {
    PyObject *capsule = attribute("numpy._core._multiarray_umath", "_ARRAY_API");
    if (!capsule) {
        PyErr_Clear(); /* NumPy 1 */
        capsule = attribute("numpy.core._multiarray_umath", "_ARRAY_API");
    }
    void **const numpy = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    if (capsule) Py_DecRef(capsule);
    if (!numpy) return 0;
    const unsigned abi = ((unsigned (*)(void))numpy[EL_GET_ABI])();
    if (abi != EL_NPY_ABI_1 && abi != EL_NPY_ABI_2) {
        (void)PyErr_Format(m->error, "NumPy has the ABI %x, expected %x or %x", abi, EL_NPY_ABI_1,
                           EL_NPY_ABI_2);
        return 0;
    }
    PyObject *(*const descr)(int) = (PyObject * (*)(int)) numpy[EL_DESCR_FROM_TYPE];
    m->array = numpy[EL_ARRAY_TYPE], m->new_array = (new_array *)numpy[EL_NEW_FROM_DESCR];
    return (m->float32 = descr(EL_NPY_FLOAT)) && (m->float64 = descr(EL_NPY_DOUBLE));
}

static int set_up(PyObject *module) {
    module_state *const m = PyModule_GetState(module);
    m->error = attribute("edge_lstm_runtime.errors", "BackendError");
    if (!m->error || !read_numpy(m)) return -1;
    PyObject *const net = m->net = PyType_FromModuleAndSpec(module, &net_spec, NULL);
    PyObject *const step = net ? PyType_FromModuleAndSpec(module, &step_spec, NULL) : NULL;
    if (!step) return -1;
    const int failed = PyObject_SetAttrString(module, "Net", net) ||
                       PyObject_SetAttrString(module, "Step", step);
    Py_DecRef(step);
    return failed ? -1 : 0;
}

static PyMethodDef functions[] = {{"kernel_name", kernel_name, METH_VARARGS, NULL},
                                  {"weight_values", weight_values, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)set_up}, {0, NULL}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", NULL, sizeof(module_state), functions, slots, NULL, NULL,
    NULL};

__attribute__((visibility("default"))) PyObject *PyInit__kernel(void);
PyObject *PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
